// Which transport a resource takes: a table of reasons not to, and the first of the caller's order that has none. Pure;
// called whenever one of these facts changes.

export type Transport = "sse" | "websocket" | "wait" | "poll";

/** The best that delivers comes first. */
export const ORDER: readonly Transport[] = ["sse", "websocket", "wait", "poll"];

/** Of the six connections that a browser opens to a host over HTTP/1.1, these many may be streams. */
const MAX_STREAMS = 3;

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
export function choose({ order, demoted, monitor, socket, resources, before }: Facts): Transport {
  const waits = monitor && order.includes("wait") && !demoted("wait");
  const unfit: Record<Transport, boolean> = {
    // Several resources share one wait rather than have a stream each.
    sse: (waits && resources > 1) || before >= MAX_STREAMS,
    websocket: (waits && resources > 1) || !socket,
    wait: !waits,
    poll: false,
  };
  return order.find((transport) => !unfit[transport] && !demoted(transport)) ?? "poll";
}
