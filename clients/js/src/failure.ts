// What can go wrong, and what follows from it. Thrown by the transports, judged by `feed.ts` and `transports/wait.ts`.

import { retryAfter } from "./pace.js";

/** Problem details (RFC 9457), or what is known of them. */
export interface Problem {
  status?: number;
  title?: string;
  detail?: string;
  [member: string]: unknown;
}

export interface Failure {
  /**
   * "gone": the resource can no longer be read, and the watch ends. "demote": the transport does not deliver on this way,
   * and another takes over. None: it passes, like the errors that `fetch` throws.
   */
  fate?: "gone" | "demote";
  problem?: Problem;
  /** What the peer asks to wait, ms. */
  afterMs?: number;
  message?: string;
}

export const failure = (fate: Failure["fate"], detail: string, problem: Problem = { detail }, afterMs = 0): Failure => ({
  fate,
  problem,
  afterMs,
});

/** What an answer with an error status means to who wanted to read the resource. */
export async function refusal(response: Response): Promise<Failure> {
  const { status, statusText } = response;
  const problem = await response.json().catch(() => 0);
  const passes = status > 499 || [408, 425, 429].includes(status);
  return failure(
    passes ? undefined : "gone",
    "",
    { title: statusText, ...problem, status },
    retryAfter(response.headers.get("retry-after")),
  );
}
