// The parser of server-sent events (HTML standard, 9.2.6): text in, events out. It holds the rest of an unfinished
// event and nothing else. Pure; `transports/sse.ts` feeds it.

export interface StreamEvent {
  /** The name; "message" if the event has none. */
  type: string;
  data: string;
  /** The last `id` that the stream has said, with this event or before. */
  id: string;
}

/** What takes the stream's text, chunk by chunk, and returns the events that are complete. A `retry` field is one, too. */
export function eventStream(): (chunk: string) => StreamEvent[] {
  let rest = "";
  let data: string[] = [];
  let type = "";
  let id = "";
  return (chunk) => {
    const events: StreamEvent[] = [];
    // A CR at the very end may be the half of a CRLF: it waits for the next chunk.
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) {
      const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
      if (!line) {
        if (data.length) events.push({ type: type || "message", data: data.join("\n"), id });
        data = [];
        type = "";
      } else if (name === "data") data.push(value);
      else if (name === "event") type = value;
      else if (name === "id" && !value.includes("\0")) id = value;
      else if (name === "retry") events.push({ type: name, data: value, id });
    }
    return events;
  };
}
