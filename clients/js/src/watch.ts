// What the caller holds: a watch of one URL, with its newest value, as events, as a callback and as something to iterate.

import type { Transport } from "./choose.js";
import type { Problem } from "./failure.js";
import { settingsOf, type Options } from "./options.js";
import { aborted } from "./pace.js";
import { positionOf, toResponse, type Representation } from "./representation.js";
import type { Status } from "./resource.js";
import { tabs, type Tabs } from "./tabs.js";

/** The events of a watch, by name, with the type of their `detail`. */
export interface WatchEvents<T> {
  /** There is a new representation. */
  change: T;
  /** The status has become this one. */
  live: undefined;
  stale: Problem | undefined;
  /** The resource can no longer be read, and the watch has ended: see `status` of the problem. */
  gone: Problem;
  /** Something failed. The watch goes on. */
  error: Problem;
}

/** Thrown by the iteration of a watch whose resource can no longer be read: an Error whose `name` says so. */
export interface Gone extends Error {
  name: "Gone";
  /** Its `status` is 401, 403, 404, 410, ... */
  problem: Problem;
}

export interface Watch<T> extends EventTarget, AsyncIterable<T> {
  /** The whole URL. */
  readonly url: string;
  /**
   * The newest: JSON as a value, text as a string, anything else as a Blob; undefined until the first has come. All
   * watches of the URL in this tab have the same: do not change it.
   */
  readonly value: T | undefined;
  /** The newest as a Response of its own: status, fields and body. */
  response(): Response | undefined;
  /** Its entity tag, if it is known: a stream does not tell it. */
  readonly etag: string | undefined;
  /** Where in the node's log of changes it was made. */
  readonly position: string | undefined;
  readonly status: Status;
  /** What delivers, in this tab or in another; undefined until something does. */
  readonly transport: Transport | undefined;
  /** What ended the watch, or the last failure since it was live. */
  readonly problem: Problem | undefined;
  /** Ends the watch. */
  close(): void;
  addEventListener<K extends keyof WatchEvents<T>>(
    type: K,
    listener: (event: CustomEvent<WatchEvents<T>[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** The value that is there, then each newer one; one that is slow gets the newest. Leaving the loop closes the watch. */
  [Symbol.asyncIterator](): AsyncGenerator<T, void>;
}

/** By options: watches with the same ones share a connection, in this tab or in all. */
const groups = new Map<unknown, Tabs>();

function group(options: Options): Tabs {
  const { fetch, headers, share = true } = options;
  const name = "freshwire 1 " + JSON.stringify({ ...options, signal: 0 });
  const key = fetch ?? name;
  const isShared = share && !fetch && !headers && globalThis.navigator?.locks && globalThis.BroadcastChannel;
  const found = groups.get(key) ?? tabs(settingsOf(options), isShared ? name : "");
  groups.set(key, found);
  return found;
}

function begin(url: string | URL, options: Options): Watch<unknown> {
  const whole = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
  whole.hash = "";
  const shared = group(options);
  const resource = shared.resource(whole.href);
  /** The representation that the caller has been told of. */
  let told: Representation | undefined;
  /** Iterations that wait for something to happen. */
  let waiting: (() => void)[] = [];

  const emit = (type: string, detail: unknown): boolean => watching.dispatchEvent(new CustomEvent(type, { detail }));
  const isOver = (): boolean => watching.status === "gone" || watching.status === "closed";
  const wakeUp = (): void => waiting.splice(0).forEach((go) => go());
  const end = (): void => {
    shared.remove(resource, look);
    wakeUp();
  };

  /** Tell the caller what is new of the resource. */
  const look = (failed?: Problem): void => {
    const { shown, value, status, transport, problem, representation } = resource;
    const isNew = told !== shown;
    const hasTurned = watching.status !== status;
    told = shown;
    Object.assign(watching, {
      ...{ value, status, transport, problem },
      position: positionOf(representation),
      etag: representation?.headers.etag,
    });
    if (isNew) emit("change", value);
    if (failed && status !== "gone") emit("error", failed);
    if (hasTurned) emit(status, problem);
    if (status === "gone") end();
    wakeUp();
  };

  const watching = Object.assign(new EventTarget(), {
    url: whole.href,
    status: "connecting" as Status,
    response: () => told && toResponse(told),
    close() {
      if (isOver()) return;
      watching.status = "closed";
      end();
    },
    async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void> {
      try {
        for (let seen: unknown; ; ) {
          const { value, status, problem } = watching;
          if (told !== seen) {
            seen = told;
            yield value;
          } else if (status === "gone") throw Object.assign(new Error(problem!.title), { name: "Gone", problem });
          else if (status === "closed") return;
          else await new Promise<void>((go) => waiting.push(go));
        }
      } finally {
        watching.close();
      }
    },
  }) as unknown as Mutable<Watch<unknown>>;

  if (options.signal) void aborted(options.signal).then(watching.close);
  // It begins when the caller has had time to listen.
  queueMicrotask(() => {
    if (isOver()) return;
    shared.add(resource, look);
    look();
  });
  return watching;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Watch a URL: its representation, and each newer one as soon as there is one. */
export function watch<T = unknown>(url: string | URL, options?: Options): Watch<T>;
/** The same with a function that is called with each value. */
export function watch<T = unknown>(
  url: string | URL,
  onChange: (value: T, watch: Watch<T>) => void,
  options?: Options,
): Watch<T>;
export function watch<T>(
  url: string | URL,
  onChange?: Options | ((value: T, watch: Watch<T>) => void),
  options: Options = {},
): Watch<T> {
  if (typeof onChange !== "function") return begin(url, onChange ?? options) as Watch<T>;
  const watching = begin(url, options) as Watch<T>;
  watching.addEventListener("change", ({ detail }) => onChange(detail, watching));
  return watching;
}
