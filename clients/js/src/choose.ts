// Which transport a resource takes: a table of reasons not to, and the first of the caller's order that has none. Pure;
// called whenever one of these facts changes.

export type Transport = "sse" | "websocket" | "wait" | "poll";

/** The best that delivers comes first. */
export const ORDER: readonly Transport[] = ["sse", "websocket", "wait", "poll"];

/** Of the six connections that a browser opens to a host over HTTP/1.1, these many may be streams. */
const MAX_STREAMS = 3;

/**
 * Polling is what is left when nothing else is, allowed or not.
 *
 * order: what the caller allows, the preferred one first.
 * isDemoted: whether a transport has failed to deliver on the way to this origin, and it is too early to try again.
 * hasMonitor: whether the representation says where to wait (`Link` with `rel="monitor"`).
 * isSocketAlike: whether a WebSocket would carry the same credentials as a request.
 * resources, before: how many resources of this origin are watched, and how many of them came before this one.
 */
export function choose(
  order: readonly Transport[],
  isDemoted: (transport: Transport) => boolean,
  hasMonitor: boolean,
  isSocketAlike: boolean,
  resources: number,
  before: number,
): Transport {
  const waits = hasMonitor && order.includes("wait") && !isDemoted("wait");
  // Several resources share one wait rather than have a stream each.
  const shares = waits && resources > 1;
  const fits = (transport: Transport): boolean => {
    if (transport === "sse") return !shares && before < MAX_STREAMS;
    if (transport === "websocket") return !shares && isSocketAlike;
    return waits || transport === "poll";
  };
  return order.find((transport) => !isDemoted(transport) && fits(transport)) ?? "poll";
}
