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

export class Resource {
  /** The newest, with what was last told of it. */
  representation?: Representation;
  /** The last one that differed from the one before, and its value: what listeners see. */
  shown?: Representation;
  value: unknown;
  status: Status = "connecting";
  transport?: Transport;
  /** Of the last failure since it was live. */
  problem?: Problem;
  /** Called after each change, with what has just failed. */
  readonly listeners = new Set<(problem?: Problem) => void>();

  constructor(readonly url: string) {}

  take({ representation, status = this.status, transport = this.transport, problem }: News): void {
    if (this.status === "gone") return;
    if (representation) {
      const order = compare(this.representation, representation);
      if (order < 0) return;
      this.representation = representation;
      if (order)
        try {
          this.value = valueOf(representation);
          this.shown = representation;
        } catch (error) {
          problem = { detail: `${error}` };
        }
    }
    this.transport = transport;
    if (problem || status === "live") this.problem = problem;
    this.status = status;
    for (const listener of [...this.listeners]) listener(problem);
  }
}
