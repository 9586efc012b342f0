/** Problem details (RFC 9457), or what is known of them. */
export interface Problem {
    status?: number;
    title?: string;
    detail?: string;
    [member: string]: unknown;
}
export interface Failure {
    /**
     * "gone": the resource can no longer be read, and the watch ends. "demote": the transport does not deliver on this way,
     * and another takes over. None: it passes, like the errors that `fetch` throws.
     */
    fate?: "gone" | "demote";
    problem?: Problem;
    /** What the peer asks to wait, ms. */
    afterMs?: number;
    message?: string;
}
export declare const failure: (fate: Failure["fate"], detail: string, problem?: Problem, afterMs?: number) => Failure;
/** What an answer with an error status means to who wanted to read the resource. */
export declare function refusal(response: Response): Promise<Failure>;
