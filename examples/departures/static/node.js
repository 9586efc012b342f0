// The node's own figures, which are a live resource like any other: /.fresh/stats.

import { follow } from "./live.js";

const units = ["B", "KB", "MB", "GB", "TB"];
const count = (n) => n === undefined ? "–" : n < 1e6 ? n.toLocaleString("en") : `${(n / 1e6).toFixed(2)} M`;
const ms = (n) => n === undefined || n === null ? "–" : `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;

function bytes(n) {
  if (n === undefined) return "–";
  let unit = 0;
  for (; n >= 1000 && unit < units.length - 1; unit += 1) n /= 1000;
  return `${n < 100 && unit ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

/** Show them in the elements of the page that name one: `data-figure="watchers"`. */
export function showNode(panel, without) {
  const set = (name, text) => { document.querySelector(`[data-figure="${name}"]`).textContent = text; };
  return follow("/.fresh/stats", (stats) => {
    const reads = stats.rereads ?? stats.reads;
    set("per-change", stats.changes && reads !== undefined ? (reads / stats.changes).toFixed(2) : "–");
    for (const name of ["watchers", "changes", "reads", "messages"]) set(name, count(stats[name]));
    if (document.getElementById("edge")) {
      for (const name of ["waits_held", "waits", "pinned_reads"]) set(name, count(stats[name]));
    }
    set("bytes", bytes(stats.bytes));
    set("p50", ms(stats.delay_ms?.p50));
    set("p99", ms(stats.delay_ms?.p99));
    set("refusals", count(Object.values(stats.refusals ?? {}).reduce((sum, n) => sum + n, 0)));
    panel.hidden = false;
  }, (state) => {
    panel.dataset.state = state;
    without.hidden = state !== "refused" && state !== "gone";
    without.textContent = "The node keeps its figures to itself: start it with --set public_stats=true to see them here.";
    if (!without.hidden) panel.hidden = true;
  });
}
