// One flight, live: the same as the board's rows, with all that was announced. One EventSource.

import { Clock, hhmm, longDay, span } from "./clock.js";
import { flap } from "./flaps.js";
import { follow, showState } from "./live.js";

const $ = (id) => document.getElementById(id);
const clock = new Clock($("clock"));
const url = `/flights/${encodeURIComponent(new URLSearchParams(location.search).get("id") ?? "")}`;

$("curl").textContent = `curl -N -H 'Accept: text/event-stream' ${location.origin}${url}`;

follow(url, show, (word, detail) => {
  clock.running = word === "live";
  document.body.dataset.state = word;
  showState($("connection"), word, detail);
});

function show(flight) {
  clock.set(flight.now, flight.speed);
  document.title = `${flight.flight} to ${flight.destination.code}`;
  $("back").href = `./#${flight.origin.code}`;
  $("flight").dataset.status = flight.status;
  $("day").textContent = longDay(flight.scheduled.slice(0, 10));
  $("airline").textContent = flight.airline.name.replace(/ Inc\.$/, "");
  flap($("number"), flight.flight);
  flap($("from"), flight.origin.code);
  flap($("to"), flight.destination.code);
  $("from-name").textContent = flight.origin.name;
  $("to-name").textContent = flight.destination.name;
  flap($("scheduled"), hhmm(flight.scheduled));
  flap($("expected"), flight.status === "cancelled" ? "" : hhmm(flight.expected));
  $("expected-is").textContent = flight.status === "departed" ? "Departed" : "Expected";
  flap($("status"), flight.status);
  $("late").textContent = late(flight);
  showAnnounced(flight.announcements);
  $("arrival").textContent = `${flight.arrival} in ${flight.destination.code}`;
  $("distance").textContent = `${flight.distance_mi.toLocaleString("en")} miles`;
  $("tail").textContent = flight.tail ?? "not known";
  const plane = flight.plane;
  $("plane").textContent = plane
    ? `${plane.manufacturer} ${plane.model}, ${plane.seats} seats${plane.built ? `, built ${plane.built}` : ""}`
    : "not known";
}

function late(flight) {
  if (flight.status === "cancelled") return "never left";
  if (flight.delay_min < 0) return `${-flight.delay_min} min early`;
  return flight.delay_min === 0 ? "on time" : span(flight.delay_min);
}

function showAnnounced(announcements) {
  const list = $("announced");
  if (announcements.length < list.childElementCount) list.replaceChildren(); // another round has begun
  for (const said of announcements.slice(list.childElementCount)) {
    const item = document.createElement("li"), time = document.createElement("time");
    time.textContent = hhmm(said.at);
    item.dataset.status = said.status;
    item.append(time, said.status === "delayed" ? `Delayed, expected at ${hhmm(said.expected)}` : capital(said.status));
    list.append(item);
  }
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);
