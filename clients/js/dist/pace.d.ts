/** From three quarters of a time to five quarters of it, so that clients do not all come at once. */
export declare const spread: (ms: number, chance?: number) => number;
/** Milliseconds until the next attempt after so many failures in a row, at least one: doubled each time. */
export declare const pause: (failures: number, chance?: number) => number;
/** The seconds or the date of a `Retry-After` (RFC 9110, 10.2.3) as milliseconds from now; 0 if it says nothing. */
export declare const retryAfter: (field: string | null, now?: number) => number;
/** Says of each answer whether it is the fifth or later of the same URL within 500 ms. */
export declare function loopGuard(): (url: string, now: number) => boolean;
/** Resolves when the signal aborts. */
export declare const aborted: (signal: AbortSignal) => Promise<void>;
/** Resolves after so many milliseconds, or as soon as the signal aborts. */
export declare const sleep: (ms: number, signal: AbortSignal) => Promise<void>;
