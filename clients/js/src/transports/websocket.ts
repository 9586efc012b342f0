// The resource over a WebSocket with the subprotocol freshwire.v1. A message has no position, so what it brings is only
// known to be no older than what was there; the first message is the proof, and a silent socket is opened again, because
// a page does not see its heartbeats.

import { failure } from "../failure.js";
import type { Feed } from "../feed.js";
import { aborted, timer } from "../pace.js";
import { successor } from "../representation.js";

export function websocket(feed: Feed, signal: AbortSignal, proven: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const { patienceMs, silenceMs } = feed.leader.settings;
    const socket = new WebSocket(feed.url.replace(/^http/, "ws"), "freshwire.v1");
    const close = (): void => socket.close();
    const silence = timer();
    let came = false;
    silence(close, patienceMs);
    void aborted(signal).then(close);
    socket.onmessage = ({ data }) => {
      silence(close, silenceMs);
      came = true;
      proven();
      feed.publish({ ...successor(feed.resource.representation!, data), loose: true });
    };
    socket.onclose = ({ code }) => {
      silence();
      const status = code - 4000;
      if (status > 399 && status < 600) reject(failure("gone", "", { status }));
      else if (came) resolve();
      else feed.blame(signal, `websocket: ${code}`).catch(reject);
    };
  });
}
