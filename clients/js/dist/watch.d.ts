import type { Transport } from "./choose.js";
import type { Problem } from "./failure.js";
import { type Options } from "./options.js";
import type { Status } from "./resource.js";
/** The events of a watch, by name, with the type of their `detail`. */
export interface WatchEvents<T> {
    /** There is a new representation. */
    change: T;
    /** The status has become this one. */
    live: undefined;
    stale: Problem | undefined;
    /** The resource can no longer be read, and the watch has ended: see `status` of the problem. */
    gone: Problem;
    /** Something failed. The watch goes on. */
    error: Problem;
}
/** Thrown by the iteration of a watch whose resource can no longer be read. */
export declare class Gone extends Error {
    readonly problem: Problem;
    /** 401, 403, 404, 410, ... */
    readonly status: number | undefined;
    constructor(problem: Problem);
}
export interface Watch<T> extends EventTarget, AsyncIterable<T> {
    /** The whole URL. */
    readonly url: string;
    /**
     * The newest: JSON as a value, text as a string, anything else as a Blob; undefined until the first has come. All
     * watches of the URL in this tab have the same: do not change it.
     */
    readonly value: T | undefined;
    /** The newest as a Response of its own: status, fields and body. */
    readonly response: Response | undefined;
    /** Its entity tag, if it is known: a stream does not tell it. */
    readonly etag: string | undefined;
    /** Where in the node's log of changes it was made. */
    readonly position: string | undefined;
    readonly status: Status;
    /** What delivers, in this tab or in another; undefined until something does. */
    readonly transport: Transport | undefined;
    /** What ended the watch, or the last failure since it was live. */
    readonly problem: Problem | undefined;
    /** Ends the watch. */
    close(): void;
    addEventListener<K extends keyof WatchEvents<T>>(type: K, listener: (event: CustomEvent<WatchEvents<T>[K]>) => void, options?: boolean | AddEventListenerOptions): void;
    addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    /** The value that is there, then each newer one; one that is slow gets the newest. Leaving the loop closes the watch. */
    [Symbol.asyncIterator](): AsyncGenerator<T, void>;
}
/** Watch a URL: its representation, and each newer one as soon as there is one. */
export declare function watch<T = unknown>(url: string | URL, options?: Options): Watch<T>;
/** The same with a function that is called with each value. */
export declare function watch<T = unknown>(url: string | URL, onChange: (value: T, watch: Watch<T>) => void, options?: Options): Watch<T>;
