export interface Representation {
    /** The status of the answer to GET. */
    status: number;
    /** Its fields, with names in lower case: those that the browser shows. */
    headers: Record<string, string>;
    /** The body: text if its media type is a text's, else bytes. */
    body: string | Blob;
    /** Whether a stream of the node itself has delivered it, so that it is no copy of a cache. */
    direct?: boolean;
    /** The log that the node before this one had, and when it was left, ms: a copy with its epoch is an old one. */
    left?: [epoch: string, at: number];
}
/** The position at which it was made. */
export declare const positionOf: (of?: Representation) => string | undefined;
export declare function fromResponse(response: Response): Promise<Representation>;
/** The next one, as a stream or a notice delivers it: with the fields of the one before, but its own names of a state. */
export declare function successor(before: Representation, body: string | Blob, position?: string, tag?: string): Representation;
/** JSON as a value, text as a string, anything else as a Blob. Throws SyntaxError for what only says it is JSON. */
export declare const valueOf: (of: Representation) => unknown;
export declare const toResponse: ({ body, status, headers }: Representation) => Response;
/** What another representation is beside the one that is there: 1 newer, 0 the same, -1 older. */
export declare function compare(have: Representation | undefined, got: Representation, now?: number): number;
