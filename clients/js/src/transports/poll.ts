// Ordinary polling: the last resort. The browser makes the requests conditional.

import type { Feed } from "../feed.js";
import { sleep, spread } from "../pace.js";

export async function poll(feed: Feed, signal: AbortSignal, proven: () => void): Promise<void> {
  while (!signal.aborted) {
    await feed.read(signal, undefined, "no-cache");
    proven();
    await sleep(spread(feed.leader.settings.pollMs), signal);
  }
}
