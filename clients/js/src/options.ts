// What a caller may choose, with units and defaults; and which choices make watches share a connection. Read by
// `watch.ts`, used everywhere below it.

import { ORDER, type Transport } from "./choose.js";

export interface Options {
  /** Closes the watch when it aborts. */
  signal?: AbortSignal;
  /** As for `fetch`: "same-origin" if not said. */
  credentials?: RequestCredentials;
  /** Fields of every request for the resource, such as `authorization`. Such a watch is not shared between tabs. */
  headers?: Record<string, string>;
  /** What makes the requests, instead of the global `fetch`. Such a watch is not shared between tabs. */
  fetch?: typeof fetch;
  /** Whether tabs share one connection (true if not said); a string names who shares, such as the user's id. */
  share?: boolean | string;
  /** The transports that may be used, the preferred one first. Polling is always the last resort. */
  transports?: readonly Transport[];
  /** How long a stream may take to deliver its first byte before the next transport is tried, ms (5,000). */
  patienceMs?: number;
  /** How long a stream may be silent before it counts as dead, ms (60,000: more than two heartbeats of a node). */
  silenceMs?: number;
  /** How long a transport that did not deliver is left alone, ms (60,000); doubled each time. */
  promoteMs?: number;
  /** The interval of ordinary polling, ms (30,000). */
  pollMs?: number;
  /** How long a tab that nobody sees stays connected, ms (30,000); Infinity: always. */
  sleepMs?: number;
}

/** The options as they are in force for a group of watches. */
export type Settings = Options & Required<Omit<Options, "signal" | "share" | "headers" | "fetch">>;

export const settingsOf = (options: Options): Settings => ({
  credentials: "same-origin",
  transports: ORDER,
  patienceMs: 5_000,
  silenceMs: 60_000,
  promoteMs: 60_000,
  pollMs: 30_000,
  sleepMs: 30_000,
  ...options,
});
