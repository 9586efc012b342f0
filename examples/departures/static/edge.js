// What the caches between this page and the node did: said by the `Cache-Status` (RFC 9211) of each answer.

/** Counts the answers that `follow` of waits.js heard, into the elements that name a figure: `data-figure="edge-hits"`. */
export function showEdge(panel) {
  const counts = { answers: 0, hits: 0, waits: 0, collapsed: 0, reads: 0 };
  const set = (name, text) => { panel.querySelector(`[data-figure="${name}"]`).textContent = text; };
  panel.hidden = false;
  return (kind, answer) => {
    const entries = (answer.headers.get("Cache-Status") ?? "").split(",").map((entry) => entry.trim());
    const edges = entries.filter((entry) => entry && !entry.startsWith("freshwire"));
    const hit = edges.some((entry) => /;\s*hit\b/.test(entry));
    counts.answers += 1;
    counts.hits += hit;
    if (kind === "wait") {
      counts.waits += 1;
      counts.collapsed += hit;
    } else {
      counts.reads += !hit;
    }
    set("edge-hits", `${counts.hits} of ${counts.answers}`);
    set("edge-collapsed", `${counts.collapsed} of ${counts.waits}`);
    set("edge-reads", `${counts.reads}`);
    set("edge-name", edges.map((entry) => entry.split(";")[0]).join(", ") || "nothing");
  };
}
