/** The log that a position is of. */
export declare const epoch: (position?: string) => string | undefined;
/**
 * How many changes `position` is behind another: negative if it is ahead, NaN if they cannot be compared, because they are
 * of two logs or one is missing.
 */
export declare const lag: (position?: string, behind?: string) => number;
