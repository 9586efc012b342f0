// One live resource through any cache: read it, wait on the URL in its Link, read what the notice pins, wait on. What
// live.js does with an EventSource, this does with requests that a shared cache answers for everybody at once.

const PAUSE_MS = 1000;

/** The same as `follow` of live.js. `heard(kind, answer)` gets each answer: to a "read", a "wait" or a "pinned" read. */
export function follow(url, show, state, heard = () => {}) {
  const ending = new AbortController();

  async function ask(kind, target) {
    const answer = await fetch(target, { signal: ending.signal });
    heard(kind, answer);
    return answer;
  }

  // Where to wait from now on; nothing if the position means nothing any more.
  async function read(kind, target) {
    const answer = await ask(kind, target);
    if (answer.status === 410 && kind === "pinned") return undefined;
    if (answer.status >= 400 && answer.status < 500) throw new Gone(answer, await answer.json().catch(() => ({})));
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
    state("live");
    return /<([^>]*)>;\s*rel="?monitor"?/.exec(answer.headers.get("Link"))?.[1];
  }

  async function wait(monitor) {
    const answer = await ask("wait", monitor);
    if (answer.status === 410) {
      const { position } = await answer.json().catch(() => ({}));
      return position && read("pinned", `${url}?fresh=${position}`);
    }
    if (!answer.ok) throw new Error(answer.statusText);
    const { changes, next } = await answer.json();
    if (changes.length === 0) return next;
    const [change] = changes;
    if (change.pinned === undefined) return read("read", url);
    return (await read("pinned", change.pinned)) && next;
  }

  async function run() {
    let monitor;
    while (!ending.signal.aborted) {
      try {
        monitor = monitor ? await wait(monitor) : await read("read", url);
        if (!monitor) await pause();
      } catch (error) {
        if (ending.signal.aborted) return;
        if (error instanceof Gone) return state("gone", error.message);
        state("reconnecting");
        await pause();
      }
    }
  }

  state("connecting");
  run();
  return () => ending.abort();
}

class Gone extends Error {
  constructor(answer, problem) { super(problem.detail ?? answer.statusText); }
}

const pause = () => new Promise((resolve) => { setTimeout(resolve, PAUSE_MS * (0.5 + Math.random())); });
