// How often and how long: the pause after a failure, the guard against a server that answers without end, and waiting
// itself. `now` and chance come in as arguments, so that the rules are pure.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const LONGEST_RETRY_AFTER_MS = 3_600_000;
const LOOP_ANSWERS = 5;
const LOOP_MS = 500;

/** From three quarters of a time to five quarters of it, so that clients do not all come at once. */
export const spread = (ms: number, chance = Math.random()): number => ms * (0.75 + chance / 2);

/** Milliseconds until the next attempt after so many failures in a row, at least one: doubled each time. */
export const pause = (failures: number, chance?: number): number =>
  spread(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1)), chance);

/** The seconds or the date of a `Retry-After` (RFC 9110, 10.2.3) as milliseconds from now; 0 if it says nothing. */
export const retryAfter = (field: string | null, now = Date.now()): number =>
  Math.max(0, Math.min(LONGEST_RETRY_AFTER_MS, (+field! * 1000 || Date.parse(field!) - now) || 0));

/** Says of each answer whether it is the fifth or later of the same URL within 500 ms. */
export function loopGuard(): (url: string, now: number) => boolean {
  let recent: [url: string, at: number][] = [];
  return (url, now) => {
    recent = recent.filter(([, at]) => now - at < LOOP_MS);
    recent.push([url, now]);
    return recent.filter(([one]) => one === url).length >= LOOP_ANSWERS;
  };
}

/** A timer: each call sets it anew, to run something after so many milliseconds; with none, it will not run. */
export function timer(): (run?: () => void, ms?: number) => void {
  let set: ReturnType<typeof setTimeout>;
  return (run, ms = Infinity) => {
    clearTimeout(set);
    if (ms < Infinity) set = setTimeout(run!, ms);
  };
}

/** A signal that aborts with another one, or when it is told to. */
export function fork(parent: AbortSignal): [signal: AbortSignal, abort: () => void] {
  const controller = new AbortController();
  return [AbortSignal.any([parent, controller.signal]), () => controller.abort()];
}

/** Resolves when the signal aborts. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve());
    if (signal.aborted) resolve();
  });

/** Resolves after so many milliseconds, or as soon as the signal aborts. */
export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  aborted(AbortSignal.any([signal, AbortSignal.timeout(ms | 0)]));
