// What a tab knows of a URL: the newest representation and how it is kept fresh. Every tab has its own and accepts only
// what is newer, whoever sends it.

import type { Transport } from "./choose.js";
import type { Problem } from "./failure.js";
import { compare, valueOf, type Representation } from "./representation.js";

/**
 * "connecting": nothing has been delivered yet. "live": what is there is the newest. "stale": it may not be; the watch
 * goes on as soon as it can. "gone": the resource can no longer be read. "closed": by the caller.
 */
export type Status = "connecting" | "live" | "stale" | "gone" | "closed";

/** What one tab tells another of a resource: what is missing has not changed. */
export interface News {
  url: string;
  representation?: Representation;
  status?: Status;
  transport?: Transport;
  problem?: Problem;
}

export interface Resource {
  url: string;
  /** The newest, with what was last told of it. */
  representation?: Representation;
  /** The last one that differed from the one before, and its value: what listeners see. */
  shown?: Representation;
  value?: unknown;
  status: Status;
  transport?: Transport;
  /** Of the last failure since it was live. */
  problem?: Problem;
  /** Called after each change, with what has just failed. */
  listeners: Set<(problem?: Problem) => void>;
}

export const resourceOf = (url: string): Resource => ({ url, status: "connecting", listeners: new Set() });

/** Accept what is news, and tell the listeners. */
export function take(resource: Resource, news: News): void {
  const { representation, status = resource.status, transport = resource.transport } = news;
  let { problem } = news;
  if (resource.status === "gone") return;
  if (representation) {
    const order = compare(resource.representation, representation);
    if (order < 0) return;
    resource.representation = representation;
    if (order)
      try {
        resource.value = valueOf(representation);
        resource.shown = representation;
      } catch (error) {
        problem = { detail: `${error}` };
      }
  }
  if (problem || status === "live") resource.problem = problem;
  Object.assign(resource, { transport, status });
  for (const listener of [...resource.listeners]) listener(problem);
}
