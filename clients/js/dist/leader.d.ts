import type { Transport } from "./choose.js";
import { type Feed } from "./feed.js";
import type { Settings } from "./options.js";
import type { News, Resource } from "./resource.js";
import { type Wait } from "./transports/wait.js";
export interface Leader {
    settings: Settings;
    /** Aborts when it leads no more. */
    signal: AbortSignal;
    feeds: Map<string, Feed>;
    /** Tells every tab. */
    publish(news: News): void;
    add(resource: Resource): void;
    remove(url: string): void;
    /** The network is there again, or is another one. */
    restart(): void;
    /** `fetch` with the caller's options and a time limit. An answer that comes in a loop is held back. */
    ask(url: string, init: RequestInit, signal: AbortSignal, ms: number): Promise<Response>;
    /** The wait of an origin. */
    wait(origin: string): Wait;
    isDemoted(origin: string, transport: Transport): boolean;
    /** A transport does not deliver on the way to an origin: leave it alone for a while. */
    demote(origin: string, transport: Transport): void;
    /** Let every feed see whether another transport fits better now. */
    settle(): void;
}
export declare function lead(settings: Settings, publish: (news: News) => void, signal: AbortSignal): Leader;
