// What the caller holds: a watch of one URL, with its newest value, as events, as a callback and as something to iterate.

import type { Transport } from "./choose.js";
import type { Problem } from "./failure.js";
import { settingsOf, type Options } from "./options.js";
import { aborted } from "./pace.js";
import { positionOf, toResponse, type Representation } from "./representation.js";
import type { Resource, Status } from "./resource.js";
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
  readonly response: Response | undefined;
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

class Watching extends EventTarget {
  readonly url: string;
  value: unknown;
  status: Status = "connecting";
  transport?: Transport;
  problem?: Problem;
  etag?: string;
  position?: string;
  private readonly resource_: Resource;
  private readonly tabs_: Tabs;
  /** The representation that the caller has been told of. */
  private told_?: Representation;
  private waiting_: (() => void)[] = [];

  constructor(url: string | URL, options: Options) {
    super();
    const whole = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
    whole.hash = "";
    this.url = whole.href;
    this.tabs_ = group(options);
    this.resource_ = this.tabs_.resource(this.url);
    const { signal } = options;
    if (signal) void aborted(signal).then(() => this.close());
    // It begins when the caller has had time to listen.
    queueMicrotask(() => {
      if (this.isOver_()) return;
      this.tabs_.add(this.resource_, this.look_);
      this.look_();
    });
  }

  get response(): Response | undefined {
    return this.told_ && toResponse(this.told_);
  }

  close(): void {
    if (!this.isOver_()) this.end_("closed");
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void> {
    try {
      for (let seen: unknown; ; ) {
        if (this.told_ !== seen) {
          seen = this.told_;
          yield this.value;
        } else if (this.status === "gone") throw Object.assign(new Error(this.problem!.title), { name: "Gone", problem: this.problem });
        else if (this.isOver_()) return;
        else await new Promise<void>((go) => this.waiting_.push(go));
      }
    } finally {
      this.close();
    }
  }

  private isOver_(): boolean {
    return this.status === "gone" || this.status === "closed";
  }

  private end_(status: Status): void {
    this.status = status;
    this.tabs_.remove(this.resource_, this.look_);
    this.waiting_.splice(0).forEach((go) => go());
  }

  /** Tell the caller what is new of the resource. */
  private look_ = (failed?: Problem): void => {
    const { shown, value, status, transport, problem, representation } = this.resource_;
    const { told_, status: was } = this;
    const emit = (type: string, detail: unknown): boolean => this.dispatchEvent(new CustomEvent(type, { detail }));
    this.told_ = shown;
    Object.assign(this, { value, status, transport, problem, position: positionOf(representation), etag: representation?.headers.etag });
    if (told_ !== shown) emit("change", value);
    if (failed && status !== "gone") emit("error", failed);
    if (status !== was) emit(status, problem);
    if (status === "gone") this.end_(status);
    this.waiting_.splice(0).forEach((go) => go());
  };
}

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
  if (typeof onChange !== "function") return new Watching(url, onChange ?? options) as unknown as Watch<T>;
  const watching = new Watching(url, options) as unknown as Watch<T>;
  watching.addEventListener("change", ({ detail }) => onChange(detail, watching));
  return watching;
}
