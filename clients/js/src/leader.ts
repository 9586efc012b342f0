// What the one tab that holds the connections does: a feed for each resource that any tab wants, and what it has learnt
// of the way to each origin. Made and ended by `tabs.ts`.

import type { Transport } from "./choose.js";
import { feedOf, type Feed } from "./feed.js";
import type { Settings } from "./options.js";
import { loopGuard, pause, sleep, spread } from "./pace.js";
import type { News, Resource } from "./resource.js";
import { waitOf, type Wait } from "./transports/wait.js";

const LONGEST_DEMOTION_MS = 3_600_000;

export interface Leader {
  settings: Settings;
  /** Aborts when it leads no more. */
  signal: AbortSignal;
  feeds: Map<string, Feed>;
  /** Tells every tab. */
  publish(news: News): void;
  add(resource: Resource): void;
  remove(url: string): void;
  /** The network is there again, or is another one. */
  restart(): void;
  /** `fetch` with the caller's options and a time limit. An answer that comes in a loop is held back. */
  ask(url: string, init: RequestInit, signal: AbortSignal, ms: number): Promise<Response>;
  /** The wait of an origin. */
  wait(origin: string): Wait;
  isDemoted(origin: string, transport: Transport): boolean;
  /** A transport does not deliver on the way to an origin: leave it alone for a while. */
  demote(origin: string, transport: Transport): void;
  /** Let every feed see whether another transport fits better now. */
  settle(): void;
}

export function lead(settings: Settings, publish: (news: News) => void, signal: AbortSignal): Leader {
  const feeds = new Map<string, Feed>();
  const waits = new Map<string, Wait>();
  /** By transport and origin: until when it is left alone, and how often that was. */
  const demotions = new Map<string, [until: number, times: number]>();
  const isLoop = loopGuard();
  let loops = 0;
  const settle = (): void => feeds.forEach((feed) => feed.pick());
  const leader: Leader = {
    settings,
    signal,
    feeds,
    publish,
    settle,
    add(resource) {
      const { url } = resource;
      if (feeds.has(url)) return;
      feeds.set(url, feedOf(resource, leader));
      settle();
    },
    remove(url) {
      feeds.get(url)?.stop();
      feeds.delete(url);
      settle();
    },
    restart() {
      demotions.clear();
      feeds.forEach((feed) => feed.restart());
    },
    async ask(url, init, signal, ms) {
      const { fetch: ask = fetch, credentials, headers } = settings;
      const response = await ask(url, {
        credentials,
        ...init,
        // What is asked for without credentials is for everybody, and none of the caller's fields is.
        headers: { ...(!init.credentials && headers), ...init.headers },
        signal: AbortSignal.any([signal, AbortSignal.timeout(ms)]),
      });
      if (isLoop(url, Date.now())) {
        if (!loops++) console.warn("freshwire: slowing down, as this is answered again and again: " + url);
        await sleep(pause(loops + 1), signal);
      }
      return response;
    },
    wait(origin) {
      const wait = waits.get(origin) ?? waitOf(leader);
      waits.set(origin, wait);
      return wait;
    },
    isDemoted: (origin, transport) => demotions.get(transport + origin)?.[0]! > Date.now(),
    demote(origin, transport) {
      const times = demotions.get(transport + origin)?.[1] ?? 0;
      const ms = spread(Math.min(settings.promoteMs * 2 ** times, LONGEST_DEMOTION_MS));
      demotions.set(transport + origin, [Date.now() + ms, times + 1]);
      settle();
      void sleep(ms + 1, signal).then(settle);
    },
  };
  return leader;
}
