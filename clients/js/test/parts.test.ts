// The pure parts, each by what its words mean.

import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, ORDER, type Transport } from "../src/choose.js";
import { eventStream, type StreamEvent } from "../src/event_stream.js";
import { monitorIn } from "../src/link.js";
import { merge } from "../src/merge_patch.js";
import { loopGuard, pause, retryAfter } from "../src/pace.js";
import { lag } from "../src/position.js";
import { compare, fromResponse, successor, toResponse, valueOf, type Representation } from "../src/representation.js";

test("positions have an order within a log, whichever variant they are of", () => {
  assert.equal(lag("01234567-7", "01234567-9"), 2);
  assert.equal(lag("0123456789abcdef-9", "01234567-7"), -2);
  assert.equal(lag("01234567-10", "01234567-9"), -1);
  assert.ok(Number.isNaN(lag("01234567-7", "76543210-9")));
  assert.ok(Number.isNaN(lag(undefined, "76543210-9")));
});

test("a link is found by its relation, wherever it stands", () => {
  const monitor = '</.fresh/watch/s/p?c=1>; rel="monitor"';
  for (const field of [
    monitor,
    `</a>; rel=next, ${monitor}`,
    `</a,b>; title="x, <y>", ${monitor}`,
    '</.fresh/watch/s/p?c=1>; title="a;b"; rel="up monitor"',
    "</.fresh/watch/s/p?c=1>;REL=monitor",
  ])
    assert.equal(monitorIn(field), "/.fresh/watch/s/p?c=1", field);
  for (const field of [undefined, "", "</a>; rel=next", '</a>; title="rel=monitor"', "</a>; rel=monitors"])
    assert.equal(monitorIn(field), undefined, field);
});

test("a merge patch does what RFC 7396 says in its appendix", () => {
  const cases: [unknown, unknown, unknown][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [["a", "b"], ["c", "d"], ["c", "d"]],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of cases) assert.deepEqual(merge(target, patch), result);
});

test("a merge patch changes neither of its arguments, and no prototype", () => {
  const target = { a: { b: 1 } };
  merge(target, { a: { b: 2 } });
  assert.deepEqual(target, { a: { b: 1 } });
  const patched = merge({}, JSON.parse('{"__proto__": {"polluted": true}}')) as Record<string, unknown>;
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.ok(Object.hasOwn(patched, "__proto__"));
});

test("an event stream is read as the standard says, however it is cut", () => {
  const stream =
    ": hello\r\nretry: 1500\n\nid: 1\ndata: a\ndata:b\n\nevent: gone\rdata: {}\r\rdata\n\nid\ndata:  two\n\nid: x\0y\ndata: c\n\nevent: lost\n\n";
  const whole: StreamEvent[] = [
    { type: "retry", data: "1500", id: "" },
    { type: "message", data: "a\nb", id: "1" },
    { type: "gone", data: "{}", id: "1" },
    { type: "message", data: "", id: "1" },
    { type: "message", data: " two", id: "" },
    { type: "message", data: "c", id: "" },
  ];
  for (let cut = 0; cut <= stream.length; cut++)
    for (let more = cut; more <= stream.length; more++) {
      const parse = eventStream();
      const parts = [stream.slice(0, cut), stream.slice(cut, more), stream.slice(more)];
      assert.deepEqual(parts.flatMap(parse), whole, `cut at ${cut} and ${more}`);
    }
});

test("pauses double, have an end, and are spread", () => {
  assert.equal(pause(1, 0.5), 500);
  assert.equal(pause(3, 0.5), 2000);
  assert.equal(pause(100, 0.5), 30_000);
  assert.equal(pause(1, 0), 375);
  assert.equal(pause(1, 1), 625);
});

test("Retry-After is seconds or a date, and nothing else", () => {
  const now = Date.parse("Wed, 21 Oct 2015 07:28:00 GMT");
  assert.equal(retryAfter("3", now), 3000);
  assert.equal(retryAfter("Wed, 21 Oct 2015 07:28:05 GMT", now), 5000);
  assert.equal(retryAfter("Wed, 21 Oct 2015 07:27:05 GMT", now), 0);
  assert.equal(retryAfter("999999999", now), 3_600_000);
  for (const nothing of [null, "", "soon", "-5"]) assert.equal(retryAfter(nothing, now), 0, `${nothing}`);
});

test("five answers of one URL within half a second are a loop", () => {
  const isLoop = loopGuard();
  const said = [0, 100, 200, 300, 400].map((now) => isLoop("/a", now));
  assert.deepEqual(said, [false, false, false, false, true]);
  assert.equal(isLoop("/a", 450), true);
  assert.equal(isLoop("/a", 2000), false);
  const slow = loopGuard();
  assert.ok(![0, 150, 300, 450, 600, 750].some((now) => slow("/a", now)));
  const many = loopGuard();
  assert.ok(![0, 1, 2, 3, 4, 5].some((now) => many(`/${now}`, now)));
});

test("the first transport that fits is taken", () => {
  const pick = (
    demoted: Transport[] = [],
    { monitor = true, socket = true, resources = 1, before = 0, order = ORDER } = {},
  ): Transport => choose(order, (one) => demoted.includes(one), monitor, socket, resources, before);
  assert.equal(pick(), "sse");
  assert.equal(pick(["sse"]), "websocket");
  assert.equal(pick(["sse"], { socket: false }), "wait");
  assert.equal(pick(["sse", "websocket"]), "wait");
  assert.equal(pick(["sse", "websocket"], { monitor: false }), "poll");
  assert.equal(pick(["sse", "websocket", "wait"]), "poll");
  assert.equal(pick([], { resources: 2 }), "wait", "several share one wait");
  assert.equal(pick(["wait"], { resources: 2 }), "sse");
  assert.equal(pick([], { resources: 5, before: 2, monitor: false }), "sse");
  assert.equal(pick([], { resources: 5, before: 3, monitor: false }), "websocket", "connections are left for others");
  assert.equal(pick([], { order: ["wait", "sse"] }), "wait");
  assert.equal(pick(["wait"], { order: ["wait"] }), "poll");
});

const made = (body: string, position?: string, more: Partial<Representation> = {}): Representation => ({
  status: 200,
  headers: { "content-type": "application/json", ...(position && { "fresh-position": position }) },
  body,
  ...more,
});

test("what is older is older, what is the same is the same, and everything else is newer", () => {
  const have = made("1", "aaaaaaaa-5");
  assert.equal(compare(undefined, have), 1);
  assert.equal(compare(have, made("0", "aaaaaaaa-4")), -1);
  assert.equal(compare(have, made("1", "aaaaaaaa-6")), 0);
  assert.equal(compare(have, made("2", "aaaaaaaa-6")), 1);
  assert.equal(compare(have, made("2", "aaaaaaaa-5")), 1, "its lifetime ended");
  assert.equal(compare(have, made("2")), 1);
  assert.equal(compare(have, made("1", "aaaaaaaa-6", { status: 203 })), 1);
});

test("a copy of a log that was left is older for a while, a stream of it is not", () => {
  const have = made("1", "aaaaaaaa-5");
  const next = made("2", "bbbbbbbb-1");
  assert.equal(compare(have, next, 0), 1);
  const last = made("3", "bbbbbbbb-2");
  assert.equal(compare(next, last, 1000), 1);
  assert.equal(compare(last, made("1", "aaaaaaaa-9"), 2000), -1);
  assert.equal(compare(last, made("4", "aaaaaaaa-9", { direct: true }), 2000), 1);
  assert.equal(compare(last, made("4", "aaaaaaaa-9"), 400_000), 1);
});

test("what may be newer than its position says is not followed by a copy of that position", () => {
  const loose = made("3", "aaaaaaaa-5", { direct: true, loose: true });
  assert.equal(compare(loose, made("1", "aaaaaaaa-5")), -1);
  assert.equal(compare(loose, made("4", "aaaaaaaa-5", { direct: true })), 1);
  assert.equal(compare(loose, made("4", "aaaaaaaa-6")), 1);
  assert.equal(compare(loose, made("4")), 1);
});

test("a body is a value by its media type, and a response again", async () => {
  const of = async (type: string | undefined, body: string): Promise<unknown> => {
    const response = new Response(body);
    type ? response.headers.set("content-type", type) : response.headers.delete("content-type");
    return valueOf(await fromResponse(response));
  };
  assert.deepEqual(await of("application/json", '{"a":1}'), { a: 1 });
  assert.deepEqual(await of("application/ld+json; charset=utf-8", "[1]"), [1]);
  assert.equal(await of("text/plain", "1"), "1");
  assert.equal(await of(undefined, "1"), "1");
  assert.equal(await of("image/svg+xml", "<svg/>"), "<svg/>");
  assert.ok((await of("image/png", "x")) instanceof Blob);
  await assert.rejects(of("application/json", "{"), SyntaxError);

  const first = await fromResponse(new Response("1", { headers: { etag: '"a"', "content-type": "application/json" } }));
  const second = successor(first, "2", "aaaaaaaa-7");
  assert.deepEqual(second.headers, { "content-type": "application/json", "fresh-position": "aaaaaaaa-7" });
  assert.equal(await toResponse(second).json(), 2);
});
