export type Transport = "sse" | "websocket" | "wait" | "poll";
/** The best that delivers comes first. */
export declare const ORDER: readonly Transport[];
export interface Facts {
    /** What the caller allows, the preferred one first. */
    order: readonly Transport[];
    /** Whether a transport has failed to deliver on the way to this origin, and it is too early to try again. */
    demoted: (transport: Transport) => boolean;
    /** Whether the representation says where to wait (`Link` with `rel="monitor"`). */
    monitor: boolean;
    /** Whether a WebSocket would carry the same credentials as a request. */
    socket: boolean;
    /** How many resources of this origin are watched, and how many of them came before this one. */
    resources: number;
    before: number;
}
/** Polling is what is left when nothing else is, allowed or not. */
export declare function choose({ order, demoted, monitor, socket, resources, before }: Facts): Transport;
