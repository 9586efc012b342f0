// The departure board. Everything on it comes from two EventSources: the airport's board, and the node's figures. As
// `/?edge`, the board comes by requests that the caches between here and the node answer for all who watch it.

import { Clock, hhmm, longDay, span } from "./clock.js";
import { showEdge } from "./edge.js";
import { flap, flash, slide } from "./flaps.js";
import { follow, showState } from "./live.js";
import { showNode } from "./node.js";
import { follow as followByWaits } from "./waits.js";

const AIRPORTS = ["EWR", "JFK", "LGA"];
const NEWS_EVERY_MS = 15_000; // a screen reader hears at most one change in this time

const LATEST = 6; // changes listed beside the board

const $ = (id) => document.getElementById(id);
const clock = new Clock($("clock"));
const rows = new Map();
const edge = new URLSearchParams(location.search).has("edge") ? showEdge($("edge")) : undefined;
let stop, newsAt = 0;

function choose() {
  const code = AIRPORTS.includes(location.hash.slice(1)) ? location.hash.slice(1) : AIRPORTS[0];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${code}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${code} departures`;
  const url = `/airports/${code}/departures`;
  $("curl").textContent = edge ? `curl -i ${location.origin}${url}`
    : `curl -N -H 'Accept: text/event-stream' ${location.origin}${url}`;
  stop?.();
  $("latest").replaceChildren();
  for (const row of rows.values()) row.remove();
  rows.clear();
  stop = (edge ? followByWaits : follow)(url, show, (word, detail) => {
    clock.running = word === "live";
    document.body.dataset.state = word;
    showState($("connection"), word, detail);
  }, edge);
}

function show(board) {
  clock.set(board.now, board.speed);
  $("day").textContent = `${longDay(board.day)}, ${board.speed}× as fast`;
  $("try-day").textContent = longDay(board.day);
  $("caption").textContent = `Departures from ${board.airport.name}`;
  showDay(board.so_far);
  showWeather(board.weather);
  const first = rows.size === 0;
  slide(() => [...rows.values()], () => {
    const shown = [...place($("departed"), board.departed, first, board.now),
      ...place($("upcoming"), board.upcoming, first, board.now)];
    for (const [id, row] of rows) if (!shown.includes(id)) { row.remove(); rows.delete(id); }
  });
}

function place(body, flights, first, now) {
  let next = body.firstElementChild;
  for (const flight of flights) {
    const row = rows.get(flight.id) ?? made(flight);
    const quietly = first || (!rows.has(flight.id) && flight.told !== now); // a row that only moves up is no news
    rows.set(flight.id, row);
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
    update(row, flight, quietly);
  }
  return flights.map((flight) => flight.id);
}

function made(flight) {
  const row = $("row").content.firstElementChild.cloneNode(true);
  row.querySelector(".scheduled").textContent = hhmm(flight.scheduled);
  row.querySelector(".code").textContent = flight.destination.code;
  row.querySelector(".name").textContent = flight.destination.name;
  row.querySelector(".airline").textContent = flight.airline.name.replace(/ Inc\.$/, "");
  const link = row.querySelector("a");
  link.textContent = flight.flight;
  link.href = `flight.html?id=${flight.id}`;
  return row;
}

function update(row, flight, quietly) {
  row.dataset.status = flight.status;
  const moved = flight.status !== "cancelled" && flight.expected !== flight.scheduled;
  const changed = [
    flap(row.querySelector(".expected"), moved ? hhmm(flight.expected) : "", { quietly }),
    flap(row.querySelector(".status"), flight.status, { quietly }),
  ].includes(true);
  row.querySelector(".late").textContent = moved && flight.delay_min >= 15 ? `+${span(flight.delay_min)}` : "";
  if (!changed || quietly) return;
  flash(row);
  tell(flight);
}

function tell(flight) {
  const what = flight.status === "delayed" ? `expected at ${hhmm(flight.expected)}` : flight.status;
  const item = document.createElement("li");
  item.textContent = `${flight.flight} to ${flight.destination.code} ${what}`;
  $("latest").prepend(item);
  while ($("latest").childElementCount > LATEST) $("latest").lastElementChild.remove();
  if (flight.status === "departed" || performance.now() - newsAt < NEWS_EVERY_MS) return;
  newsAt = performance.now();
  $("news").textContent = `${flight.flight} to ${flight.destination.name} ${what}.`;
}

function showDay(day) {
  for (const part of ["departed", "delayed", "cancelled"]) {
    document.querySelector(`.bar .${part}`).style.flexGrow = day[part];
  }
  document.querySelector(".bar .rest").style.flexGrow = day.flights - day.departed - day.delayed - day.cancelled;
  const late = day.departed ? `, ${span(day.late_min)} late on average` : "";
  $("so-far").replaceChildren(
    part("departed", `${day.departed} of ${day.flights} departed${late}`),
    part("delayed", `${day.delayed} delayed`),
    part("cancelled", `${day.cancelled} cancelled`),
  );
}

function part(name, text) {
  const span = document.createElement("span");
  span.className = `key ${name}`;
  span.textContent = text;
  return span;
}

function showWeather(weather) {
  if (!weather) return void ($("weather").textContent = "");
  const said = [
    weather.temperature_f !== null && `${Math.round(weather.temperature_f)} °F`,
    weather.wind_mph !== null && `wind ${Math.round(weather.wind_mph)} mph`
      + (weather.gust_mph === null ? "" : `, gusts ${Math.round(weather.gust_mph)}`),
    weather.visibility_mi !== null && `sight ${weather.visibility_mi} mi`,
  ];
  $("weather").textContent = said.filter(Boolean).join(" · ");
}

addEventListener("hashchange", choose);
choose();
showNode($("node"), $("no-node"));
