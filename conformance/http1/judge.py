"""Runs a case against a server, and decides: of what was answered, and of what the application was given."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.http1.cases import Case
from conformance.http1.talk import PROBE, Heard, Talk

LATE_S = 0.005
Given = list[dict[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What a server made of a case."""

    outcome: str
    """As in `200 400 close`."""
    faults: tuple[str, ...]
    """What is not allowed about it."""

    @property
    def passed(self) -> bool:
        return not self.faults


def run(
    case: Case, address: tuple[str, int], seen: Callable[[], Given], *, own: bool, foreign: bool = False
) -> Verdict:
    """The case in one write, then byte by byte: nothing may depend on that.

    seen: what the application was given since it was last asked. own: the server is Freshwire, so `ours` applies.
    foreign: it has another application.
    """
    verdicts = []
    for cut in (False, True):
        seen()
        talk = Talk(address, case.requests, foreign=foreign)
        heard = talk.hold(case.parts(), cut=cut, then=case.then, most=case.most)
        if not any(answer["x-app"] for answer in heard.answers):
            # What was refused and yet reaches the application may do so later than the refusal its client.
            time.sleep(LATE_S)
        given = [request for request in seen() if request["target"] != PROBE]
        faults = judge(case, heard, given, closely=own or case.level in ("MUST", "SHOULD"))
        if own and case.ours and not any(matches(way, heard) for way in case.ours):
            faults.append(f"Freshwire answers {' or '.join(case.ours)}, not {heard.text}")
        verdicts.append((heard, faults))
    (whole, faults), (pieces, faults_in_pieces) = verdicts
    faults += [f"byte by byte: {fault}" for fault in faults_in_pieces if fault not in faults]
    # Whether who leaves is still answered depends on who is first.
    if final(whole) != final(pieces) and case.then != "eof":
        faults.append(f"{whole.text} in one write, {pieces.text} byte by byte")
    if case.level == "ours" and not own:
        faults = []
    return Verdict(pieces.text if faults_in_pieces and not verdicts[0][1] else whole.text, tuple(faults))


def final(heard: Heard) -> str:
    """The outcome without interim answers, which may depend on how bytes come."""
    words = heard.text.split(" ")
    return " ".join(word for word in words if not re.fullmatch("1(?!01)[0-9]{2}", word))


def judge(case: Case, heard: Heard, given: Given, *, closely: bool) -> list[str]:
    """What is not allowed about an exchange. closely: not only statuses, and whether what is refused reached nobody."""
    faults = []
    if heard.broken:
        faults.append(heard.broken)
    elif not any(matches(way, heard) for way in case.allow):
        faults.append(f"{heard.text} instead of {' or '.join(case.allow)}")
    faults += [remark for answer in heard.answers for remark in answer.remarks]
    last = next((answer for answer in reversed(heard.answers) if answer.status >= 200), None)
    if last is not None and not faults and closely and _fits(last.status, case.allow[0]):
        for name, pattern in case.has.items():
            if not re.fullmatch(pattern, last[name], re.I | re.S):
                faults.append(f"{name}: {last[name] or '(none)'} instead of {pattern}")
        faults += [f"{name}: {last[name]}" for name in case.lacks if last.all(name)]
        if case.body is not None and not re.fullmatch(case.body, last.content.decode("latin-1"), re.S):
            faults.append(f"content {last.content[:60]!r} instead of {case.body}")
    return faults + _judge_given(case, heard, given, closely=closely)


def _fits(status: int, way: str) -> bool:
    statuses = [word for word in way.split() if word[0].isdigit()]
    return bool(statuses) and re.fullmatch(statuses[-1].replace("x", "."), str(status)) is not None


def _judge_given(case: Case, heard: Heard, given: Given, *, closely: bool) -> list[str]:
    shown = ", ".join(f"{request['method']} {request['target'][:60]}" for request in given) or "nothing"
    if any(answer.status == 101 for answer in heard.answers):
        # What was answered in another protocol is not looked into.
        return []
    if case.needs == "cache" and (case.given is None or not closely):
        return []
    if case.given is None or not closely:
        answered = sum(answer["x-app"] == "1" for answer in heard.answers)
        return [f"the application was given {shown}"] if len(given) != answered else []
    if not any(answer["x-app"] == "1" for answer in heard.answers) and not given:
        # Refused as a whole, where that is allowed.
        return []
    if len(given) != len(case.given):
        return [f"the application was given {shown}"]
    faults = []
    for wanted, request in zip(case.given, given, strict=True):
        for key in ("method", "target", "body", "version"):
            if key in wanted and wanted[key] != request[key]:
                faults.append(
                    f"the application was given {key} {request[key][:60]!r}, not {wanted[key][:60]!r}"
                )
        for name, value in wanted.get("fields", {}).items():
            values = [v for n, v in request["fields"] if n.lower() == name]
            if ", ".join(values) != value:
                faults.append(f"the application was given {name}: {values}, not {value!r}")
    return faults


def matches(way: str, heard: Heard) -> bool:
    """Whether this is what was heard: statuses in order (`x` is any digit; interim ones count if any is named), then
    `close`, `keep`, `open`, or nothing for either of the first two.
    """
    words = way.split()
    end = words.pop() if words and words[-1] in ("close", "keep", "open") else ""
    if (heard.end != end) if end else (heard.end == "open"):
        return False
    interim = any(re.fullmatch("1(?!01)..", word) for word in words)
    statuses = [str(a.status) for a in heard.answers if interim or a.status >= 200 or a.status == 101]
    return len(statuses) == len(words) and all(
        re.fullmatch(word.replace("x", "[0-9]"), status) for word, status in zip(words, statuses, strict=True)
    )
