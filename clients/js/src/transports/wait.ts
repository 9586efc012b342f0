// The wait that a cache can collapse: one request for all resources of an origin, held until something changes or its
// cycle ends. Everything that matters is in its URL, so that all clients ask for the same; what it answers is a notice,
// and the resource is read again at a URL that no older copy can satisfy.

import { failure, refusal, type Failure } from "../failure.js";
import type { Deliver, Feed, Notice } from "../feed.js";
import type { Leader } from "../leader.js";
import { aborted, fork, pause, sleep, timer } from "../pace.js";

/** Longer than any cycle: an answer that takes longer will not come. */
const WAIT_MS = 100_000;
/** Resources that come and go within this time make one new set. */
const GATHER_MS = 20;

interface Answer {
  changes: (Partial<Notice> & { url: string })[];
  next: string;
  position: string;
  /** Seconds over which those who read again are to spread. */
  spread?: number;
}

/** Joins the wait of an origin. */
export type Wait = Deliver;

export function waitOf(leader: Leader): Wait {
  const members = new Map<Feed, [proven: () => void, fail: (error: unknown) => void]>();
  const gather = timer();
  let stop = (): void => {};

  const ask = async <T>(url: string, init: RequestInit, signal: AbortSignal): Promise<T> => {
    try {
      // Without credentials: a wait is public, and a cookie would keep caches from sharing it.
      const response = await leader.ask(url, { ...init, credentials: "omit" }, signal, WAIT_MS);
      if (response.ok) return await response.json();
      throw response.status === 504 ? failure("demote", "wait: 504") : await refusal(response);
    } catch (error) {
      throw (error as Error).name === "TimeoutError" ? failure("demote", "wait: silence") : error;
    }
  };

  /** The URL to wait at: of the one resource, or of a set of all. */
  const monitor = async (signal: AbortSignal): Promise<string> => {
    const feeds = [...members.keys()];
    const monitors = feeds.map((feed) => feed.monitor()!);
    const first = monitors[0]!;
    const loose = feeds.filter(({ resource }) => resource.representation!.loose);
    if (!monitors[1] && !loose[0]) return first;
    const { origin } = new URL(first);
    const { monitor, position } = await ask<{ monitor: string; position: string }>(
      first.replace(/\/[^/]*\/[^/]*$/, ""),
      { method: "POST", body: JSON.stringify({ monitors: monitors.map((one) => one.slice(origin.length)) }) },
      signal,
    );
    // A socket has brought something newer than its position says: what this node has now is no older.
    for (const feed of loose) await feed.read(signal, feed.pinned(position));
    return new URL(monitor, first).href;
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    let url: string | undefined;
    for (let failures = 0; !signal.aborted; ) {
      try {
        url ??= await monitor(signal);
        if (!failures) members.forEach(([proven]) => proven());
        const { changes, next, position, spread = 0 }: Answer = await ask(url, {}, signal);
        const feeds = [...members.keys()];
        for (const change of changes) {
          const named = feeds.filter((feed) => feed.url === new URL(change.url, url).href);
          // What is written in another way than here may be any of them.
          for (const feed of named[0] ? named : feeds)
            feed.follow({ position, ...change }, spread * 1000 * Math.random()).catch(members.get(feed)![1]);
        }
        if (failures) members.forEach(([proven]) => proven());
        failures = 0;
        url = new URL(next, url).href;
      } catch (error) {
        if (signal.aborted) return;
        const { fate, afterMs = 0, problem = {} } = error as Failure;
        const isTooOld = problem.status === 410;
        if (!isTooOld)
          members.forEach(([, fail], feed) => (fate ? fail(failure("demote", "", problem)) : feed.trouble(error as Failure)));
        await sleep(Math.max(afterMs, pause(++failures)), signal);
        if (!isTooOld) continue;
        url = undefined;
        await Promise.all(
          [...members].map(([feed, [, fail]]) =>
            feed.read(signal, feed.pinned(problem.position as string | undefined), "no-cache").catch(fail),
          ),
        );
      }
    }
  };

  const renew = (): void =>
    gather(() => {
      stop();
      const [signal, abort] = fork(leader.signal);
      stop = abort;
      if (members.size) void run(signal);
    }, GATHER_MS);

  return (feed, signal, proven) =>
    new Promise((_, fail) => {
      members.set(feed, [proven, fail]);
      void aborted(signal).then(() => {
        members.delete(feed);
        renew();
      });
      renew();
    });
}
