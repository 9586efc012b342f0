export type Transport = "sse" | "websocket" | "wait" | "poll";
/** The best that delivers comes first. */
export declare const ORDER: readonly Transport[];
/**
 * Polling is what is left when nothing else is, allowed or not.
 *
 * order: what the caller allows, the preferred one first.
 * isDemoted: whether a transport has failed to deliver on the way to this origin, and it is too early to try again.
 * hasMonitor: whether the representation says where to wait (`Link` with `rel="monitor"`).
 * isSocketAlike: whether a WebSocket would carry the same credentials as a request.
 * resources, before: how many resources of this origin are watched, and how many of them came before this one.
 */
export declare function choose(order: readonly Transport[], isDemoted: (transport: Transport) => boolean, hasMonitor: boolean, isSocketAlike: boolean, resources: number, before: number): Transport;
