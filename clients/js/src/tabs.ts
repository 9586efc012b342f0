// One connection for all tabs. The tab that holds a lock leads: it has the feeds, and tells the others over a channel.
// The others wait for the lock, and answer each beat of the leader with what they want; one that does not answer is
// forgotten, and a leader that does not beat loses the lock. A tab that nobody sees lets everything go after a while and
// comes back when it is seen, so a leader in the background hands over. Where there are no locks (a page that is not
// secure, an old browser), or a group is not to be shared, a tab leads itself.

import { lead, type Leader } from "./leader.js";
import type { Settings } from "./options.js";
import { aborted, fork, timer } from "./pace.js";
import { resourceOf, take, type News, type Resource } from "./resource.js";

/** Between two beats of the leader. */
const BEAT_MS = 3_000;
/** A leader without a beat is frozen after this time, and a tab without an answer has gone. */
const SILENT_MS = 10_000;
/** What nobody wants is kept this long, for whoever comes back at once. */
const LINGER_MS = 50;

/** What tabs say to each other, and each to itself. A message with nothing in it is a beat: what do you want? */
interface Message {
  /** From the leader: of a resource. */
  news?: News;
  /** All URLs that a tab wants now. */
  wants?: string[];
  tab?: string;
}

export interface Tabs {
  /** What this tab knows of a URL. */
  resource(url: string): Resource;
  /** Keep a resource fresh for a listener, which is called after each change. */
  add(resource: Resource, listener: () => void): void;
  remove(resource: Resource, listener: () => void): void;
}

/** name: the group's; empty if it is of this tab only. */
export function tabs(settings: Settings, name: string): Tabs {
  const { sleepMs } = settings;
  const resources = new Map<string, Resource>();
  const tab = Math.random().toString(36);
  /** What each tab wants, and when it last said so; the leader keeps it. */
  const wishes = new Map<string, [urls: string[], at: number]>();
  const drowse = timer();
  let awake: AbortController | undefined;
  let channel: BroadcastChannel | undefined;
  let leader: Leader | undefined;

  const resource = (url: string): Resource => {
    let known = resources.get(url);
    if (!known || known.status === "gone") resources.set(url, (known = resourceOf(url)));
    return known;
  };

  const wanted = (): string[] => [...resources.values()].filter(({ listeners }) => listeners.size).map(({ url }) => url);

  const tell = (message: Message): void => {
    channel?.postMessage(message);
    hear(message);
  };

  /** Say what this tab wants. */
  const wish = (): void => tell({ wants: wanted(), tab });

  const hear = ({ news, wants, tab }: Message): void => {
    if (news) {
      const known = resources.get(news.url);
      if (known) take(known, news);
    } else if (!wants) wish();
    else if (leader) {
      const now = Date.now();
      const before = wishes.get(tab!)?.[0] ?? [];
      wishes.set(tab!, [wants, now]);
      for (const [one, [, at]] of wishes) if (now - at > SILENT_MS) wishes.delete(one);
      const all = [...wishes.values()].flatMap(([urls]) => urls);
      for (const url of resources.keys())
        if (!all.includes(url)) {
          leader.remove(url);
          resources.delete(url);
        }
      for (const url of wants) {
        const known = resource(url);
        const { representation, status, transport } = known;
        leader.add(known);
        if (!before.includes(url)) tell({ news: { url, representation, status, transport } });
      }
    }
  };

  const reign = (signal: AbortSignal): void => {
    wishes.clear();
    const mine = (leader = lead(settings, (news) => tell({ news }), signal));
    const beat = setInterval(tell, BEAT_MS, {});
    void aborted(signal).then(() => {
      clearInterval(beat);
      if (leader === mine) leader = undefined;
    });
    tell({});
  };

  /** Stand in line to lead, or take the lead from one who does not move. */
  const stand = (signal: AbortSignal, steal?: boolean): void => {
    const [until, depose] = fork(signal);
    navigator.locks
      .request(name, steal ? { steal } : { signal }, () => {
        reign(until);
        return aborted(until);
      })
      .catch(() => {
        // Somebody else leads now, or this tab rests.
        depose();
        if (!signal.aborted) stand(signal);
      });
  };

  /** Connect, or stand in line for it. */
  const wake = (): void => {
    const { signal } = (awake = new AbortController());
    if (!name) return reign(signal);
    const line = (channel = new BroadcastChannel(name));
    const silence = timer();
    const listen = (event?: MessageEvent<Message>): void => {
      silence(() => leader || stand(signal, true), SILENT_MS);
      if (event) hear(event.data);
    };
    line.onmessage = listen;
    void aborted(signal).then(() => {
      silence();
      line.close();
    });
    listen();
    stand(signal);
  };

  /** Let everything go. */
  const rest = (): void => {
    channel?.postMessage({ wants: [], tab });
    awake?.abort();
    awake = channel = leader = undefined;
    for (const [url, known] of resources)
      known.listeners.size ? take(known, { url, status: "stale" }) : resources.delete(url);
  };

  /** Something has happened to the tab. */
  const look = ({ type }: Partial<Event>): void => {
    drowse();
    if (type === "online") leader?.restart();
    if (type === "freeze" || type === "pagehide") rest();
    else if (!globalThis.document?.hidden) awake ? leader?.settle() : wanted()[0] && wake();
    else drowse(rest, sleepMs);
  };
  // Captured, as not all of them bubble from the document.
  for (const type of ["visibilitychange", "freeze", "resume", "pagehide", "pageshow", "online"])
    globalThis.addEventListener?.(type, look, true);

  return {
    resource,
    add(known, listener) {
      known.listeners.add(listener);
      resources.set(known.url, known);
      if (!awake) wake();
      look({});
      wish();
    },
    remove(known, listener) {
      known.listeners.delete(listener);
      setTimeout(() => {
        if (!known.listeners.size && resources.get(known.url) === known && !leader) resources.delete(known.url);
        wish();
        if (!wanted()[0]) rest();
      }, LINGER_MS);
    },
  };
}
