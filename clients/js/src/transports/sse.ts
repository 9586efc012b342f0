// The resource as server-sent events, read with `fetch`: unlike an EventSource it shows the status of a refusal, the
// heartbeats, and sends the caller's fields. Its first byte is the proof that nothing on the way holds it back.

import { eventStream } from "../event_stream.js";
import { failure, refusal } from "../failure.js";
import type { Feed } from "../feed.js";
import { fork, timer } from "../pace.js";
import { positionOf, successor } from "../representation.js";

export async function sse(feed: Feed, signal: AbortSignal, proven: () => void): Promise<void> {
  const { leader, resource, isNear } = feed;
  const { patienceMs, silenceMs } = leader.settings;
  const [hearing, hangUp] = fork(signal);
  const silence = timer();
  silence(hangUp, patienceMs);
  try {
    const position = positionOf(resource.representation);
    const response = await leader.ask(
      feed.url,
      {
        cache: "no-store",
        // To another origin, a field of this name would need its consent first (a preflight).
        headers: { accept: "text/event-stream", ...(position && isNear && { "last-event-id": position }) },
      },
      hearing,
      2e9,
    );
    const { status, headers, body } = response;
    if (!/^text\/event-stream/.test(headers.get("content-type")!)) {
      if (status > 499 && status !== 504) throw await refusal(response);
      await feed.blame(signal, `sse: ${status}`);
    }
    const parse = eventStream();
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      silence(hangUp, silenceMs);
      proven();
      for (const { type, data, id } of parse(value)) {
        if (type === "retry") feed.retryMs = +data || 0;
        if (type === "message") feed.publish(successor(resource.representation!, data, id));
        if (type === "stale") await feed.read(signal, feed.pinned(id));
        if (type === "gone") throw failure("gone", "", JSON.parse(data));
      }
    }
  } catch (error) {
    throw hearing.aborted ? failure("demote", "sse: silence") : error;
  } finally {
    silence();
  }
}
