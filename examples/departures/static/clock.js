// The replay's clock: set by each representation, runs on between them, and stands still while the connection is down.

import { flap } from "./flaps.js";

const RUNS_ON_MS = 90 * 60 * 1000; // of the replay's time: if nothing comes for longer, the day is over

export class Clock {
  constructor(element) {
    this.element = element;
    this.running = false;
    setInterval(() => this.tick(), 250);
  }

  /** What a representation says: `now` is New York's wall clock with its offset. */
  set(now, speed) {
    this.now = Date.parse(now.slice(0, 19) + "Z");
    this.speed = speed;
    this.at = performance.now();
    this.tick();
  }

  tick() {
    if (this.now === undefined) return;
    if (this.running) this.shown = this.now + Math.min((performance.now() - this.at) * this.speed, RUNS_ON_MS);
    const text = new Date(this.shown ?? this.now).toISOString().slice(11, 16);
    this.element.dateTime = text;
    flap(this.element, text, { quietly: this.speed > 120 });
  }
}

/** "14:05" of an ISO time. */
export const hhmm = (iso) => iso.slice(11, 16);

/** "Friday 8 March 2013" of "2013-03-08". */
export const longDay = (day) => new Date(day + "T12:00Z").toLocaleDateString("en-GB",
  { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });

/** "1 h 05" of 65 minutes. */
export const span = (minutes) => minutes < 60 ? `${minutes} min`
  : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
