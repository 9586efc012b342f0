"""Is it there, is it a node's, does what a client needs come through, and is only that kept which may be kept?"""

from __future__ import annotations

import secrets
import ssl

import httpx

from freshwire.doctor import front
from freshwire.doctor.report import Finding, Outcome
from freshwire.doctor.visit import Visit


async def resource(visit: Visit) -> Outcome:
    """The first read: without it there are no further checks."""
    name = "resource"
    await visit.provoke()
    try:
        answer = await visit.get()
    except httpx.TransportError as error:
        text = str(error) or type(error).__name__
        problem = "tls" if isinstance(error.__cause__, ssl.SSLError) or _is_tls(error) else "unreachable"
        return visit.found(name, problem, text)
    if answer.is_redirect:
        return visit.found(name, "redirect", f"{answer.status_code} to {answer.headers.get('location')}")
    if not front.is_node(answer.headers):
        seen = f"{answer.status_code} without Fresh-Position, and no {front.NODE} in Cache-Status"
        return visit.found(name, "not-freshwire", seen, server=answer.headers.get("server"))
    if answer.status_code != 200:
        return visit.found(name, "bad-status", f"{answer.status_code} {answer.reason_phrase}")
    visit.resource = answer
    return Outcome(
        name, f"200, {len(answer.content)} bytes at {answer.headers.get('fresh-position', 'no position')}"
    )


def _is_tls(error: BaseException) -> bool:
    """Whether TLS is what failed; the libraries between do not keep the type."""
    text = str(error).lower()
    return "certificate" in text or "ssl" in text or "tls" in text


async def fields(visit: Visit) -> Outcome:
    """What a client needs to follow a resource, on a first answer and on one that may be a copy."""
    answers = [visit.read, await visit.get()]
    findings: list[Finding] = []
    for problem, wrong, missing in (
        ("link-dropped", 'no Link with rel="monitor"', [a for a in answers if not front.monitor(a.headers)]),
        ("etag-dropped", "no strong ETag", [a for a in answers if _lost_etag(a)]),
    ):
        if missing:
            seen = f"{wrong} on {len(missing)} of {len(answers)} answers"
            findings.append(visit.finding(problem, seen))
    return Outcome("fields", "Link, ETag and Fresh-Position come through", findings=findings)


def _lost_etag(answer: httpx.Response) -> bool:
    """Whether a proxy took the ETag, or made it weak as it compressed the body; an application's may be weak itself."""
    etag = answer.headers.get("etag", "")
    if "fresh-position" not in answer.headers:
        return False  # of what streams, the node says none
    return not etag or (etag.startswith("W/") and "content-encoding" in answer.headers)


async def keeping(visit: Visit) -> Outcome:
    """Whether the cache in front keeps what has no lifetime, and what it must not share."""
    name = "keeping"
    unasked = await _kept(visit, _fresh_query(visit))
    findings: list[Finding] = []
    if unasked is None:
        return Outcome(
            name, "nothing tells a copy from an answer of the node (--admin-socket helps)", checked=False
        )
    kept, answer = unasked
    states = front.lifetime_s(answer.headers)
    if kept and not states:
        said = answer.headers.get("cache-control", "no Cache-Control")
        findings.append(
            visit.finding(
                "cached-unasked", f"a second read was answered by a copy, and the first said {said}"
            )
        )
    findings += await _credentials(visit)
    return Outcome(name, "copies are kept as long as they may be, and never one user's", findings=findings)


async def _kept(visit: Visit, url: str) -> tuple[bool, httpx.Response] | None:
    """Whether a second read was answered by a cache in front, and the first answer; None if nothing tells."""
    first = await visit.get(url)
    told = await _answered_by_copy(visit, url)
    return None if told is None else (told, first)


async def _answered_by_copy(visit: Visit, url: str, **headers: str) -> bool | None:
    """Whether a read was answered by a cache in front; None if nothing tells."""
    before = await visit.count()
    answer = await visit.get(url, **headers)
    told = front.from_copy(answer.headers)
    if told is not None or before is None:
        return told
    return await visit.count() == before  # the requests of others can hide a copy, and not make one


async def _credentials(visit: Visit) -> list[Finding]:
    """Whether an answer to a request with credentials is given to others, or the other way round."""
    findings: list[Finding] = []
    for name in ("Cookie", "Authorization"):
        url, own = _fresh_query(visit), {name: f"freshwire-doctor={secrets.token_hex(8)}"}
        answer = await visit.get(url, **own)
        said = answer.headers.get("cache-control", "")
        if "public" in said or "s-maxage" in said:
            continue  # the application says that it is for everybody (RFC 9111 §3.5)
        if await _answered_by_copy(visit, url):
            seen = f"the answer to a request with {name} was given to one without"
            findings.append(visit.finding("credentials-cached", seen))
        elif await _answered_by_copy(visit, url, **own):
            seen = f"a request with {name} was answered by a copy that was made for others"
            findings.append(visit.finding("credentials-cached", seen))
    return findings


def _fresh_query(visit: Visit) -> str:
    """The resource under a URL that nobody has asked for."""
    return f"{visit.url}{'&' if '?' in visit.url else '?'}freshwire-doctor={secrets.token_hex(8)}"
