import type { Transport } from "./choose.js";
import type { Problem } from "./failure.js";
import { type Representation } from "./representation.js";
/**
 * "connecting": nothing has been delivered yet. "live": what is there is the newest. "stale": it may not be; the watch
 * goes on as soon as it can. "gone": the resource can no longer be read. "closed": by the caller.
 */
export type Status = "connecting" | "live" | "stale" | "gone" | "closed";
/** What one tab tells another of a resource: what is missing has not changed. */
export interface News {
    url: string;
    representation?: Representation;
    status?: Status;
    transport?: Transport;
    problem?: Problem;
}
export declare class Resource {
    readonly url: string;
    /** The newest, with what was last told of it. */
    representation?: Representation;
    /** The last one that differed from the one before, and its value: what listeners see. */
    shown?: Representation;
    value: unknown;
    status: Status;
    transport?: Transport;
    /** Of the last failure since it was live. */
    problem?: Problem;
    /** Called after each change, with what has just failed. */
    readonly listeners: Set<(problem?: Problem) => void>;
    constructor(url: string);
    take({ representation, status, transport, problem }: News): void;
}
