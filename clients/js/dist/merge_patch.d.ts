/** `target` with the patch applied, which is a new value: neither argument changes. */
export declare function merge(target: unknown, patch: unknown): unknown;
