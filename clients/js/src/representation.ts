// A representation as tabs hand it to each other: plain data that a BroadcastChannel can carry, made of a Response or of
// what a stream delivered.

import { epoch, lag } from "./position.js";

/** A copy of a log that was left may still lie in some cache for as long as this. */
const LEFT_MS = 300_000;

export interface Representation {
  /** The status of the answer to GET. */
  status: number;
  /** Its fields, with names in lower case: those that the browser shows. */
  headers: Record<string, string>;
  /** The body: text if its media type is a text's, else bytes. */
  body: string | Blob;
  /** Whether a stream of the node itself has delivered it, so that it is no copy of a cache. */
  direct?: boolean;
  /** Whether it may be newer than its position says. */
  loose?: boolean;
  /** The log that the node before this one had, and when it was left, ms: a copy with its epoch is an old one. */
  left?: [epoch: string, at: number];
}

const type = (of: Representation): string => of.headers["content-type"] ?? "";

/** The position at which it was made. */
export const positionOf = (of?: Representation): string | undefined => of?.headers["fresh-position"];

export async function fromResponse(response: Response): Promise<Representation> {
  const headers = Object.fromEntries(response.headers);
  const isText = /^$|^text|json|xml|script|urlencoded/i.test(headers["content-type"] ?? "");
  return { status: response.status, headers, body: await (isText ? response.text() : response.blob()) };
}

/** The next one, as a stream or a notice delivers it: with the fields of the one before, but its own names of a state. */
export function successor(before: Representation, body: string | Blob, position?: string, tag?: string): Representation {
  const { etag, ...headers } = before.headers;
  if (position) headers["fresh-position"] = position;
  if (tag) headers.etag = tag;
  return { ...before, headers, body, direct: true, loose: false };
}

/** JSON as a value, text as a string, anything else as a Blob. Throws SyntaxError for what only says it is JSON. */
export const valueOf = (of: Representation): unknown =>
  typeof of.body === "string" && /[/+]json\b/i.test(type(of)) ? JSON.parse(of.body) : of.body;

export const toResponse = ({ body, status, headers }: Representation): Response =>
  new Response(body || null, { status, headers });

/** What another representation is beside the one that is there: 1 newer, 0 the same, -1 older. */
export function compare(have: Representation | undefined, got: Representation, now = Date.now()): number {
  if (!have) return 1;
  const { left, loose, headers } = have;
  const was = positionOf(have);
  const is = positionOf(got);
  got.left = was && is && epoch(was) !== epoch(is) ? [epoch(was)!, now] : left;
  if (lag(is, was) > 0) return -1;
  if (!got.direct && ((loose && lag(is, was) === 0) || (left && left[0] === epoch(is) && now - left[1] < LEFT_MS))) return -1;
  const same = have.body === got.body || (headers.etag && headers.etag === got.headers.etag);
  return same && have.status === got.status && type(have) === type(got) ? 0 : 1;
}
