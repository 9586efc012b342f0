// The client whole, with a `fetch` that plays a node: what no server does on demand.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { Options } from "../src/options.js";
import { watch, type Watch } from "../src/watch.js";

(globalThis as { CustomEvent?: unknown }).CustomEvent ??= class<T> extends Event {
  readonly detail: T;
  constructor(type: string, { detail }: { detail: T }) {
    super(type);
    this.detail = detail;
  }
};

// The time limits of an AbortSignal do not keep a process alive; this does, as long as a test runs.
let alive: ReturnType<typeof setInterval>;
beforeEach(() => (alive = setInterval(() => {}, 1000)));
afterEach(() => clearInterval(alive));

type Answer = Response | Promise<Response>;

/** A node that answers as it is told, and remembers what it was asked. */
class Node {
  readonly asked: string[] = [];
  readonly posted: unknown[] = [];
  private readonly held: { url: string; answer: (response: Response) => void }[] = [];
  private turn = (): void => {};
  constructor(private readonly answers: Record<string, (init: RequestInit) => Answer>) {}

  options(more: Partial<Options> = {}): Options {
    return { transports: ["wait"], ...more, fetch: this.fetch as typeof fetch };
  }

  private fetch = (url: string, init: RequestInit): Promise<Response> => {
    const { pathname, search } = new URL(url);
    const path = pathname + search;
    this.asked.push(path);
    if (init.body) this.posted.push(JSON.parse(init.body as string));
    queueMicrotask(() => this.turn());
    const answer = this.answers[path];
    return new Promise((resolve, reject) => {
      init.signal!.addEventListener("abort", () => reject(init.signal!.reason));
      if (answer) resolve(answer(init));
      else this.held.push({ url: path, answer: resolve });
    });
  };

  /** Wait until a path is asked for. */
  async until(path: string): Promise<void> {
    while (!this.asked.includes(path)) await new Promise<void>((go) => (this.turn = go));
  }

  /** Wait until a request for a path is held, and answer it. */
  async answer(path: string, response: Response): Promise<void> {
    await this.until(path);
    const at = this.held.findLastIndex(({ url }) => url === path);
    this.held.splice(at, 1)[0]!.answer(response);
  }
}

const json = (value: unknown, position: string, more: Record<string, string> = {}): Response =>
  Response.json(value, {
    headers: { "fresh-position": position, link: `</w/s/${position}?c=1>; rel="monitor"`, ...more },
  });

const changed = (position: string, ...changes: Record<string, unknown>[]): Response =>
  Response.json({ position, changes, next: `/w/s/${position}?c=2` });

const next = <T>(watching: Watch<T>, type: string): Promise<unknown> =>
  new Promise((go) => watching.addEventListener(type, (event) => go((event as CustomEvent).detail), { once: true }));

test("a body in a notice is taken, and a patch if its base is what is there", async () => {
  const node = new Node({
    "/x": () => json({ a: 1, b: 1 }, "aaaaaaaa-1", { etag: '"1"' }),
    "/x?fresh=aaaaaaaa-4": () => json({ read: true }, "aaaaaaaa-4"),
  });
  const x = watch("http://node/x", node.options());
  assert.deepEqual(await next(x, "change"), { a: 1, b: 1 });
  const patched = next(x, "change");
  const patch = { url: "/x", patch: { b: null }, base: '"1"', etag: '"2"' };
  await node.answer("/w/s/aaaaaaaa-1?c=1", changed("aaaaaaaa-2", patch));
  assert.deepEqual(await patched, { a: 1 });
  assert.deepEqual([x.etag, x.position], ['"2"', "aaaaaaaa-2"]);
  const brought = next(x, "change");
  await node.answer("/w/s/aaaaaaaa-2?c=2", changed("aaaaaaaa-3", { url: "/x", body: "[3]", etag: '"3"' }));
  assert.deepEqual(await brought, [3]);
  const read = next(x, "change");
  const other = { url: "/x", pinned: "/x?fresh=aaaaaaaa-4", patch: { b: 1 }, base: '"2"' };
  await node.answer("/w/s/aaaaaaaa-3?c=2", changed("aaaaaaaa-4", other));
  assert.deepEqual(await read, { read: true });
  x.close();
});

test("a change that is there already is not read again, and an older answer is dropped", async () => {
  const node = new Node({
    "/x": () => json(5, "aaaaaaaa-5"),
    "/x?fresh=aaaaaaaa-7": () => json(4, "aaaaaaaa-4"),
    "/x?fresh=aaaaaaaa-8": () => json(8, "aaaaaaaa-8"),
  });
  const x = watch("http://node/x", node.options());
  assert.equal(await next(x, "change"), 5);
  await node.answer("/w/s/aaaaaaaa-5?c=1", changed("aaaaaaaa-5", { url: "/x", pinned: "/x?fresh=aaaaaaaa-5" }));
  const eight = next(x, "change");
  await node.answer("/w/s/aaaaaaaa-5?c=2", changed("aaaaaaaa-7", { url: "/x", pinned: "/x?fresh=aaaaaaaa-7" }));
  await node.answer("/w/s/aaaaaaaa-7?c=2", changed("aaaaaaaa-8", { url: "/x", pinned: "/x?fresh=aaaaaaaa-8" }));
  assert.equal(await eight, 8);
  assert.ok(!node.asked.includes("/x?fresh=aaaaaaaa-5"));
  x.close();
});

test("the caller's fields and credentials go with reads, and not with waits that others share", async () => {
  const seen: Record<string, unknown[]> = {};
  const note = (name: string, { headers, credentials }: RequestInit): void => {
    seen[name] = [(headers as Record<string, string>).authorization, credentials];
  };
  const node = new Node({
    "/x": (init) => (note("read", init), json(1, "aaaaaaaa-1")),
    "/w/s/aaaaaaaa-1?c=1": (init) => (note("wait", init), changed("aaaaaaaa-2", { url: "/x", pinned: "/x?fresh=aaaaaaaa-2" })),
    "/x?fresh=aaaaaaaa-2": (init) => (note("pinned", init), json(2, "aaaaaaaa-2")),
  });
  const x = watch("http://node/x", node.options({ headers: { authorization: "me" }, credentials: "include" }));
  while (x.value !== 2) await next(x, "change");
  assert.deepEqual(seen, { read: ["me", "include"], wait: [undefined, "omit"], pinned: ["me", "include"] });
  x.close();
});

test("many resources are one set, whose changes reach each its own", async () => {
  const position = "aaaaaaaa-1";
  const node = new Node({
    "/x": () => json("x", position),
    "/y": () => json("y", position),
    "/w": () => Response.json({ monitor: "/w/both/aaaaaaaa-1?c=1", position }),
  });
  const options = node.options();
  const [x, y] = [watch("http://node/x", options), watch("http://node/y", options)];
  await Promise.all([next(x, "live"), next(y, "live")]);
  assert.deepEqual(node.posted.at(-1), { monitors: [`/w/s/${position}?c=1`, `/w/s/${position}?c=1`] });
  const change = next(y, "change");
  await node.answer("/w/both/aaaaaaaa-1?c=1", changed("aaaaaaaa-2", { url: "/y", body: '"new"' }));
  assert.equal(await change, "new");
  assert.equal(x.value, "x");
  x.close();
  y.close();
});

test("a re-read that fails is tried again, and the newest change wins", async () => {
  let fails = 1;
  const node = new Node({
    "/x": () => json(1, "aaaaaaaa-1"),
    "/x?fresh=aaaaaaaa-3": () => (fails-- > 0 ? new Response("", { status: 503 }) : json(3, "aaaaaaaa-3")),
  });
  const x = watch("http://node/x", node.options());
  await next(x, "live");
  const three = next(x, "change");
  await node.answer("/w/s/aaaaaaaa-1?c=1", changed("aaaaaaaa-2", { url: "/x", pinned: "/x?fresh=aaaaaaaa-2" }));
  await node.until("/x?fresh=aaaaaaaa-2");
  await node.answer("/w/s/aaaaaaaa-2?c=2", changed("aaaaaaaa-3", { url: "/x", pinned: "/x?fresh=aaaaaaaa-3" }));
  await node.answer("/x?fresh=aaaaaaaa-2", new Response("", { status: 502 }));
  assert.equal(await three, 3);
  x.close();
});

test("what is too old is read again at the position that the node names", async () => {
  const node = new Node({
    "/x": () => json(1, "aaaaaaaa-1"),
    "/x?fresh=bbbbbbbb-9": () => json(2, "bbbbbbbb-9"),
    "/w/s/aaaaaaaa-1?c=1": () => Response.json({ status: 410, position: "bbbbbbbb-9" }, { status: 410 }),
  });
  const x = watch("http://node/x", node.options());
  await next(x, "live");
  assert.equal(await next(x, "change"), 2);
  await node.answer("/w/s/bbbbbbbb-9?c=1", changed("bbbbbbbb-10", { url: "/x", body: "3" }));
  assert.equal(await next(x, "change"), 3);
  x.close();
});

test("a wait that is not there makes way for polling", async () => {
  let value = 1;
  const node = new Node({
    "/x": () => json(value, "aaaaaaaa-1"),
    "/w/s/aaaaaaaa-1?c=1": () => new Response("", { status: 404 }),
  });
  const x = watch("http://node/x", node.options({ pollMs: 5 }));
  await next(x, "change");
  value = 2;
  assert.equal(await next(x, "change"), 2);
  await next(x, "live");
  assert.equal(x.transport, "poll");
  x.close();
});

test("an iteration that is slow gets the newest, and ends with the watch", async () => {
  const node = new Node({ "/x": () => json(1, "aaaaaaaa-1") });
  const x = watch<number>("http://node/x", node.options());
  const values = x[Symbol.asyncIterator]();
  assert.equal((await values.next()).value, 1);
  for (let n = 1; n < 4; n++)
    await node.answer(`/w/s/aaaaaaaa-${n}?c=${n > 1 ? 2 : 1}`, changed(`aaaaaaaa-${n + 1}`, { url: "/x", body: `${n + 1}` }));
  while (x.value !== 4) await next(x, "change");
  assert.equal((await values.next()).value, 4);
  x.close();
  assert.equal((await values.next()).done, true);
});

test("a watch that is gone says so with the problem, and an iteration throws it", async () => {
  const node = new Node({
    "/x": () => Response.json({ title: "Gone fishing", detail: "by the lake" }, { status: 410 }),
  });
  const x = watch("http://node/x", node.options());
  await assert.rejects(x[Symbol.asyncIterator]().next(), (error: Error & { problem: unknown }) => {
    assert.equal(error.name, "Gone");
    assert.deepEqual(error.problem, { title: "Gone fishing", detail: "by the lake", status: 410 });
    return true;
  });
});

test("JSON that is not is an error, and the value stays", async () => {
  const node = new Node({ "/x": () => json(1, "aaaaaaaa-1") });
  const x = watch("http://node/x", node.options());
  await next(x, "live");
  const error = next(x, "error");
  await node.answer("/w/s/aaaaaaaa-1?c=1", changed("aaaaaaaa-2", { url: "/x", body: "{" }));
  assert.match(((await error) as { detail: string }).detail, /SyntaxError/);
  assert.equal(x.value, 1);
  x.close();
});

test("a signal that has aborted already closes the watch before it asks", async () => {
  const node = new Node({ "/x": () => json(1, "aaaaaaaa-1") });
  const x = watch("http://node/x", node.options({ signal: AbortSignal.abort() }));
  assert.equal((await x[Symbol.asyncIterator]().next()).done, true);
  assert.deepEqual([x.status, node.asked], ["closed", []]);
});

test("a stream that ends well is no error, and goes on where it was", async () => {
  const stream = (text: string): Response => new Response(text, { headers: { "content-type": "text/event-stream" } });
  let streams = 0;
  const node = new Node({
    "/x": ({ headers }) => {
      if (!(headers as Record<string, string>).accept) return json(1, "aaaaaaaa-1");
      return stream(`retry: 5\n\nid: aaaaaaaa-${++streams + 1}\ndata: ${streams + 1}\n\n`);
    },
  });
  const x = watch<number>("http://node/x", { ...node.options(), transports: ["sse"] });
  const seen: unknown[] = [];
  for (const type of ["change", "stale", "error", "live"] as const)
    x.addEventListener(type, ({ detail }) => seen.push(type === "change" ? detail : type));
  while (x.value !== 3) await next(x, "change");
  assert.deepEqual(seen, [1, "live", 2, "stale", "live", 3]);
  x.close();
});
