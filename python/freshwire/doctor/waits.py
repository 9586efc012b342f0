"""Is the wait of a monitor URL one request for all who wait, and does a change reach whoever is told of it?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from freshwire.doctor import front
from freshwire.doctor.report import Finding, Outcome
from freshwire.doctor.visit import Visit

CYCLE_S = 40.0
"""Longer than any wait lasts: a node's watch_cycle_s is 12 by default."""
ROUNDS = 3
"""How often a round of waits is begun again that did not last a cycle."""
HOT = 4
"""So many answers without a change, in HOT_S seconds, are a loop."""
HOT_S = 0.5


@dataclass(frozen=True, slots=True)
class Waited:
    """The answer to a wait."""

    took_s: float
    status: int = 0
    """0: there was none."""
    error: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    headers: httpx.Headers = field(default_factory=httpx.Headers)

    @property
    def next(self) -> str:
        """The URL to wait on then; empty if the answer is not one to a wait."""
        following = self.body.get("next")
        return following if isinstance(following, str) else ""

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What has changed."""
        changes = self.body.get("changes")
        return [change for change in changes if isinstance(change, dict)] if isinstance(changes, list) else []


async def collapse(visit: Visit) -> Outcome:
    """Whether many who wait on one URL are one request to the node, for a whole cycle."""
    name = "waits"
    url = await _monitor(visit)
    if not url:
        return Outcome(name, "there is no monitor URL to wait on", checked=False)
    visit.say("waiting for the end of a cycle")
    started = await _at_rest(visit, url)
    if isinstance(started, Finding):
        return Outcome(name, "something is wrong", findings=[started])
    if not started:
        return Outcome(name, "it changes too often to see a wait end by itself", checked=False)
    for _ in range(ROUNDS):
        visit.say(f"{visit.waits} waiting on one URL")
        before = await visit.count("waits")
        waited = await asyncio.gather(*(_wait(visit, started) for _ in range(visit.waits)))
        after = await visit.count("waits")
        started = waited[0].next
        if not started or _lasted_a_cycle(waited):
            break
    return _judged(visit, list(waited), None if before is None or after is None else after - before)


def _lasted_a_cycle(waited: list[Waited]) -> bool:
    """Whether waits lasted for most of a cycle, which is how long their answer may be kept: if they began late in one,
    nobody had the time to lose patience.
    """
    cycle_s = front.lifetime_s(waited[0].headers) or 0
    return max(one.took_s for one in waited) >= 0.75 * cycle_s


def _judged(visit: Visit, waited: list[Waited], counted: int | None) -> Outcome:
    """What the answers to many waits on one URL say."""
    name, lasted_s = "waits", max(one.took_s for one in waited)
    figures: dict[str, Any] = {"waits": len(waited), "lasted_s": round(lasted_s, 2), "at_the_node": counted}
    findings: list[Finding] = []
    cut = [one for one in waited if not one.next]
    if cut:
        how = Counter(one.error or f"status {one.status}" for one in cut).most_common(1)[0][0]
        shortest_s = min(one.took_s for one in cut)
        seen = f"{len(cut)} of {len(waited)} waits were cut after {shortest_s:.1f} s or later: {how}"
        findings.append(visit.finding("wait-cut", seen))
    told = [front.from_copy(one.headers) for one in waited]
    if counted is None and not any(one is None for one in told):
        counted, by = sum(not one for one in told), "as the cache says"
    else:
        by = "as the node counts"
    if counted is None:
        return Outcome(
            name,
            "neither the node's figures (--admin-socket, public_stats) nor a field of the cache (such "
            "as Cache-Status) tells how many requests they were at the node",
            bool(findings),
            findings,
            figures,
        )
    figures["at_the_node"] = counted
    seen = f"{len(waited)} waits on one URL were {counted} requests at the node, {by}, in {lasted_s:.1f} s"
    if not cut and counted > max(2, len(waited) // 5):
        cache = any(told) or not {"HAProxy", "Caddy"}.issuperset(visit.in_front)
        findings.append(visit.finding("wait-not-collapsed" if cache else "no-cache-in-front", seen))
    return Outcome(name, seen, findings=findings, figures=figures)


async def change(visit: Visit) -> Outcome:
    """Whether a change is told at once, and what is read then is not older than the change."""
    name, patience_s = "change", visit.prompt_s if visit.can_change else visit.idle_s
    before = await visit.get()
    url = front.monitor(before.headers)
    if not url:
        return Outcome(name, "there is no monitor URL to hear of a change on", checked=False)
    if visit.can_change:
        visit.say("having it changed")
        rest = await _caught_up(visit, url)
        asked = time.monotonic()
        await visit.change()
    else:
        visit.say(f"looking for a change for {visit.idle_s:.0f} s")
        rest, asked = await _caught_up(visit, url), time.monotonic()
    told = await _noticed(visit, rest, patience_s)
    after_s = time.monotonic() - asked
    if told is None:
        return await _untold(visit, before, patience_s)
    return await _read_after(visit, told, after_s)


async def _untold(visit: Visit, before: httpx.Response, patience_s: float) -> Outcome:
    """No notice has come: because nothing changed, or although something did."""
    if not visit.can_change:
        why = f"nothing changed in {patience_s:.0f} s (--change-url, --change or --admin-socket change it)"
        return Outcome("change", why, checked=False)
    beside = "&" if "?" in visit.url else "?"
    now = await visit.get(f"{visit.url}{beside}freshwire-doctor={time.monotonic_ns()}")
    if visit.admin_socket is None and now.headers.get("etag") == before.headers.get("etag"):
        return Outcome("change", "what was done did not change this resource", checked=False)
    seen = f"it changed, and who waits was not told within {patience_s:.0f} s"
    return visit.found("change", "notice-late", seen)


async def _read_after(visit: Visit, told: Waited, after_s: float) -> Outcome:
    """What is read after a notice."""
    position = str(told.body.get("position", ""))
    findings: list[Finding] = []
    for one in told.changes:
        if isinstance(one.get("pinned"), str):
            pinned = await visit.get(one["pinned"])
            made = pinned.headers.get("fresh-position", "")
            if pinned.status_code == 200 and front.older(made, position):
                seen = f"{one['pinned']} was answered with the state at {made}"
                findings.append(visit.finding("query-ignored", seen))
    answer = await visit.get()
    made = answer.headers.get("fresh-position", "")
    if front.older(made, position):
        lifetime_s = front.lifetime_s(answer.headers)
        seen = f"told of {position}, and a plain GET was answered with the state at {made}"
        if lifetime_s:
            findings.append(
                visit.finding("stale-for-its-lifetime", f"{seen}: a copy may be {lifetime_s} s old")
            )
        else:
            findings.append(visit.finding("stale", seen))
    return Outcome(
        "change",
        f"told after {after_s:.2f} s; what was read then was new",
        findings=findings,
        figures={"told_after_s": round(after_s, 3), "position": position},
    )


async def _monitor(visit: Visit) -> str:
    """A monitor URL of now; empty if there is none."""
    answer = await visit.get()
    return front.monitor(answer.headers) or front.monitor(visit.read.headers)


async def _at_rest(visit: Visit, url: str) -> str | Finding:
    """Wait until a cycle ends without a change; the URL of the next (empty: none does), or what is wrong."""
    quick: list[float] = []
    for _ in range(8):
        waited = await _wait(visit, url)
        if not waited.next:
            return visit.finding(
                "wait-cut", f"{url}: {waited.error or f'status {waited.status}'} after {waited.took_s:.1f} s"
            )
        url = waited.next
        if waited.changes:
            quick.clear()
        elif waited.took_s > HOT_S:
            return url
        else:
            quick.append(waited.took_s)
        if len(quick) >= HOT:
            return visit.finding(
                "wait-answered-at-once", f"{len(quick)} answers without a change in {sum(quick):.2f} s"
            )
    return ""


async def _caught_up(visit: Visit, url: str) -> str:
    """The monitor URL of now: whoever asks on an old one is told at once what it is."""
    for _ in range(HOT):
        try:
            async with asyncio.timeout(HOT_S):
                waited = await _wait(visit, url)
        except TimeoutError:
            return url
        url = waited.next or url
    return url


async def _noticed(visit: Visit, url: str, patience_s: float) -> Waited | None:
    """The answer that tells of a change; None if none comes in time."""
    try:
        async with asyncio.timeout(patience_s):
            while True:
                waited = await _wait(visit, url)
                if waited.changes:
                    return waited
                url = waited.next or url
                if not waited.next:
                    await asyncio.sleep(HOT_S)
    except TimeoutError:
        return None


async def _wait(visit: Visit, url: str) -> Waited:
    """One wait."""
    start = time.monotonic()
    try:
        async with asyncio.timeout(CYCLE_S):
            answer = await visit.get(url)
    except (httpx.TransportError, TimeoutError) as error:
        return Waited(time.monotonic() - start, error=str(error) or type(error).__name__)
    took_s = time.monotonic() - start
    try:
        body = answer.json() if answer.status_code == 200 else {}
    except ValueError:
        body = {}
    return Waited(took_s, answer.status_code, "", body if isinstance(body, dict) else {}, answer.headers)
