// One live resource: an EventSource, and an honest word about its connection. Used by all that moves on the pages.

const RETRY_MS = 4000;
const REFUSED_RETRY_MS = 30_000;

/**
 * Follow a resource. `show(representation)` gets each one; `state(word, detail)` gets "connecting", "live",
 * "reconnecting", "gone" (the resource ended: detail says why) or "refused" (no event stream was given).
 * Returns a function that ends it.
 */
export function follow(url, show, state) {
  let source, retry, wasLive = false;

  function open() {
    source = new EventSource(url);
    source.onopen = () => { wasLive = true; state("live"); };
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.addEventListener("gone", (event) => {
      source.close();
      const problem = parsed(event.data);
      state("gone", problem.detail ?? problem.title ?? "");
    });
    source.onerror = () => {
      // The browser reconnects by itself, unless the answer was no event stream: then it gives up, and we ask again.
      if (source.readyState !== EventSource.CLOSED) return state("reconnecting");
      state(wasLive ? "reconnecting" : "refused");
      retry = setTimeout(open, wasLive ? RETRY_MS : REFUSED_RETRY_MS);
    };
  }

  state("connecting");
  open();
  return () => { clearTimeout(retry); source.close(); };
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

const WORDS = {
  connecting: "connecting…",
  live: "live",
  reconnecting: "reconnecting…",
  gone: "ended",
  refused: "not live: this server sends no events. Start it with freshwire serve.",
};

/** Show the state of a connection in an element. */
export function showState(element, word, detail) {
  element.dataset.state = word;
  element.textContent = detail ? `${WORDS[word]}: ${detail}` : WORDS[word];
}
