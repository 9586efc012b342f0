// One resource in the tab that leads: reads it, keeps one transport delivering and at most one more on trial, and
// changes over only when the one on trial has proved itself. What arrives goes to `leader.publish`.

import { choose, type Transport } from "./choose.js";
import { failure, refusal, type Failure } from "./failure.js";
import type { Leader } from "./leader.js";
import { monitorIn } from "./link.js";
import { merge } from "./merge_patch.js";
import { fork, pause, sleep, timer } from "./pace.js";
import { lag } from "./position.js";
import { fromResponse, positionOf, successor, type Representation } from "./representation.js";
import type { Resource } from "./resource.js";
import { poll } from "./transports/poll.js";
import { sse } from "./transports/sse.js";
import { websocket } from "./transports/websocket.js";

/** An ordinary read has to begin its answer within this time. */
const READ_MS = 30_000;

/** Delivers until the signal aborts, and calls `proven` when it is seen to work. Throws Failure. */
export type Deliver = (feed: Feed, signal: AbortSignal, proven: () => void) => Promise<void>;

/** What a wait says of one resource. */
export interface Notice {
  position: string;
  pinned?: string;
  etag?: string;
  body?: string;
  patch?: unknown;
  base?: string;
}

export interface Feed {
  url: string;
  leader: Leader;
  resource: Resource;
  /** Whether it is of the page's own origin. */
  isNear: boolean;
  /** What an event stream has said of the time until it may be opened again, ms. */
  retryMs: number;
  /** The whole URL at which to wait for changes of the representation. */
  monitor(): string | undefined;
  /** Where to read a representation that is made at a position or later; undefined if the node has no such place. */
  pinned(position?: string): string | undefined;
  publish(representation: Representation): void;
  /** What delivered does not for now. */
  trouble(failure: Failure): void;
  /** GET, at its own URL or a pinned one. Throws Failure. */
  read(signal: AbortSignal, pinned?: string, cache?: RequestCache): Promise<void>;
  /** A transport failed, and does not say why: throws Failure, that the resource is gone or that the transport is at fault. */
  blame(signal: AbortSignal, detail: string): Promise<never>;
  /** Take what a notice brings, or read what it announces after a delay. Throws Failure if it is gone. */
  follow(notice: Notice, delayMs: number): Promise<void>;
  /** Go for the best transport there is now, unless it delivers already. */
  pick(): void;
  /** Begin again at once: the network is another one, or is there again. */
  restart(): void;
  stop(): void;
}

/** How a resource is come by: its first representation is read. */
type Way = Transport | "read";

export function feedOf(resource: Resource, leader: Leader): Feed {
  const { url } = resource;
  const { origin } = new URL(url);
  const { settings, feeds, publish } = leader;
  const { transports, credentials, headers, fetch } = settings;
  const isNear = origin === globalThis.location?.origin;
  const [alive, stop] = fork(leader.signal);
  const again = timer();
  /** The ways that are taken, each with what ends it: one that delivers, and others on trial. */
  const running = new Map<Way, () => void>();
  /** The one that delivers. */
  let live: Way | undefined;
  let failures = 0;
  /** Where the newest change can be read that has not been read yet. */
  let wanted: string | undefined;

  const deliver: Record<Way, Deliver> = {
    sse,
    websocket,
    poll,
    wait: (...args) => leader.wait(origin)(...args),
    read: (feed, signal) => feed.read(signal),
  };

  const best = (): Way => {
    if (!resource.representation) return "read";
    const all = [...feeds.keys()].filter((one) => one.startsWith(origin + "/"));
    return choose(
      transports,
      (transport) => leader.isDemoted(origin, transport),
      !!feed.monitor(),
      !headers && !fetch && (credentials === "include" || (credentials === "same-origin" && isNear)),
      all.length,
      all.indexOf(url),
    );
  };

  const stopAllBut = (way?: Way): void =>
    running.forEach((stop, other) => {
      if (other === way) return;
      running.delete(other);
      stop();
    });

  const ended = (way: Way, error?: Failure): void => {
    running.get(way)!();
    running.delete(way);
    if (way === live) live = undefined;
    const { fate, afterMs = 0, problem } = error ?? {};
    if (fate === "gone") {
      leader.remove(url);
      return publish({ url, status: fate, problem });
    }
    if (way === "read" && !error) return leader.settle();
    if (!live) feed.trouble(error ?? {});
    if (fate) return leader.demote(origin, way as Transport);
    const pauseMs = (!error && feed.retryMs) || pause(++failures);
    again(feed.pick, Math.max(afterMs, pauseMs));
  };

  const feed: Feed = {
    url,
    leader,
    resource,
    isNear,
    retryMs: 0,
    stop,
    monitor() {
      const target = monitorIn(resource.representation?.headers.link);
      return target && new URL(target, url).href;
    },
    pinned: (position) =>
      feed.monitor() && position && url + (url.includes("?") ? "&" : "?") + "fresh=" + position,
    publish: (representation) => publish({ url, representation }),
    trouble: ({ problem, message }) =>
      publish({ url, status: resource.representation ? "stale" : "connecting", problem: problem ?? (message ? { detail: message } : undefined) }),
    async read(signal, pinned, cache) {
      const response = await leader.ask(pinned ?? url, { cache: pinned ? "default" : cache }, signal, READ_MS);
      // A pinned URL of a node that is no more is gone; the resource may be there.
      if (pinned && response.status === 410) return feed.read(signal, undefined, "no-cache");
      if (!response.ok) throw await refusal(response);
      feed.publish(await fromResponse(response));
    },
    async blame(signal, detail) {
      const response = await leader.ask(url, { cache: "no-cache" }, signal, READ_MS);
      throw response.ok ? failure("demote", detail) : await refusal(response);
    },
    async follow({ position, pinned, etag, body, patch, base }, delayMs) {
      const have = resource.representation!;
      if (lag(positionOf(have), position) <= 0) return;
      if (patch !== undefined && base && base === have.headers.etag)
        body = JSON.stringify(merge(JSON.parse(have.body as string), patch));
      if (body !== undefined) return feed.publish(successor(have, body, position, etag));
      const isReading = wanted;
      wanted = pinned ? new URL(pinned, url).href : url;
      for (let failures = 0; !isReading && wanted && !alive.aborted; ) {
        await sleep(delayMs, alive);
        const reading: string = wanted;
        try {
          await feed.read(alive, reading === url ? undefined : reading, "no-cache");
          failures = delayMs = 0;
          if (reading === wanted) wanted = undefined;
        } catch (error) {
          const { fate, afterMs = 0 } = error as Failure;
          if (fate) throw error;
          delayMs = Math.max(afterMs, pause(++failures));
        }
      }
    },
    pick() {
      again();
      const way = best();
      if (alive.aborted || running.has(way)) return;
      const [signal, stop] = fork(alive);
      running.set(way, stop);
      const proven = (): void => {
        if (live !== way) {
          stopAllBut(way);
          live = way;
          failures = 0;
        }
        publish({ url, status: "live", transport: way as Transport });
      };
      deliver[way](feed, signal, proven)
        .catch((error) => error)
        .then((error) => signal.aborted || ended(way, error));
    },
    restart() {
      stopAllBut();
      live = undefined;
      feed.pick();
    },
  };
  return feed;
}
