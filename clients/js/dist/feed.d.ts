import { type Failure } from "./failure.js";
import type { Leader } from "./leader.js";
import { type Representation } from "./representation.js";
import type { Resource } from "./resource.js";
/** Delivers until the signal aborts, and calls `proven` when it is seen to work. Throws Failure. */
export type Deliver = (feed: Feed, signal: AbortSignal, proven: () => void) => Promise<void>;
/** What a wait says of one resource. */
export interface Notice {
    position: string;
    pinned?: string;
    etag?: string;
    body?: string;
    patch?: unknown;
    base?: string;
}
export interface Feed {
    url: string;
    leader: Leader;
    resource: Resource;
    /** Whether it is of the page's own origin. */
    isNear: boolean;
    /** What an event stream has said of the time until it may be opened again, ms. */
    retryMs: number;
    /** The whole URL at which to wait for changes of the representation. */
    monitor(): string | undefined;
    /** Where to read a representation that is made at a position or later; undefined if the node has no such place. */
    pinned(position?: string): string | undefined;
    publish(representation: Representation): void;
    /** What delivered does not for now. */
    trouble(failure: Failure): void;
    /** GET, at its own URL or a pinned one. Throws Failure. */
    read(signal: AbortSignal, pinned?: string, cache?: RequestCache): Promise<void>;
    /** Take what a notice brings, or read what it announces after a delay. Throws Failure if it is gone. */
    follow(notice: Notice, delayMs: number): Promise<void>;
    /** Go for the best transport there is now, unless it delivers already. */
    pick(): void;
    /** Begin again at once: the network is another one, or is there again. */
    restart(): void;
    stop(): void;
}
export declare function feedOf(resource: Resource, leader: Leader): Feed;
