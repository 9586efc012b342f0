"""What a suite found beside what was written down: `deviations.toml` in the suite's folder has each accepted
deviation with its reason, and a suite passes when both say the same.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
CONFORMS = "ok"
PASSED, FAILED, CANNOT_RUN = 0, 1, 2
"""Exit codes of every suite."""


class CannotRunError(Exception):
    """Something that a suite needs is not there; says what to install."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    case: str
    verdict: str = CONFORMS
    """`CONFORMS`, or how it deviates."""
    detail: str = ""
    """What was seen, for people."""


@dataclass(frozen=True)
class Deviation:
    """A verdict that is accepted for a case."""

    case: str
    verdict: str
    reason: str


def written(suite: str) -> list[Deviation]:
    """The accepted deviations of a suite; `cases` stands for one of each with the same verdict and reason."""
    file = Path(__file__).parent / suite / "deviations.toml"
    return [
        Deviation(case, entry["verdict"], entry["reason"])
        for entry in tomllib.loads(file.read_text()).get("deviation", [])
        for case in entry.get("cases") or [entry["case"]]
    ]


@dataclass(frozen=True)
class Verdict:
    """The cases of a suite, judged."""

    suite: str
    outcomes: Sequence[Outcome]
    accepted: Sequence[Deviation]

    def explained(self, outcome: Outcome) -> bool:
        """Whether this deviation was written down."""
        return any(self._is(deviation, outcome) for deviation in self.accepted)

    def unexplained(self) -> list[Outcome]:
        """Deviations that nobody wrote down."""
        return [each for each in self.outcomes if each.verdict != CONFORMS and not self.explained(each)]

    def vanished(self) -> list[Deviation]:
        """Deviations that were written down and no longer occur, of the cases that ran."""
        ran = {outcome.case for outcome in self.outcomes}
        return [
            deviation
            for deviation in self.accepted
            if deviation.case in ran and not any(self._is(deviation, outcome) for outcome in self.outcomes)
        ]

    @staticmethod
    def _is(deviation: Deviation, outcome: Outcome) -> bool:
        return (deviation.case, deviation.verdict) == (outcome.case, outcome.verdict)

    def counts(self) -> dict[str, int]:
        """How many cases got which verdict."""
        return dict(Counter(outcome.verdict for outcome in self.outcomes).most_common())


def conclude(
    suite: str, outcomes: Iterable[Outcome], *, about: Mapping[str, object], complete: bool = True
) -> int:
    """Print a summary, write `results/<suite>.json`, and return the exit code.

    about: what else belongs in the file: versions, options of the node, tables.
    complete: every case ran, so that a written deviation whose case did not is an error too.
    """
    verdict = Verdict(suite, list(outcomes), written(suite))
    unexplained, vanished = verdict.unexplained(), verdict.vanished()
    if complete:
        ran = {outcome.case for outcome in verdict.outcomes}
        vanished += [deviation for deviation in verdict.accepted if deviation.case not in ran]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{suite}.json").write_text(
        json.dumps(
            {
                "suite": suite,
                "freshwire": metadata.version("freshwire"),
                **about,
                "counts": verdict.counts(),
                "deviations": [asdict(each) for each in verdict.outcomes if each.verdict != CONFORMS],
                "unexplained": [asdict(each) for each in unexplained],
                "vanished": [asdict(each) for each in vanished],
                "cases": [each.case for each in verdict.outcomes],
            },
            indent=2,
        )
        + "\n"
    )
    for outcome in verdict.outcomes:
        if outcome.verdict != CONFORMS and verdict.explained(outcome):
            print(f"accepted     {outcome.case}: {outcome.verdict}")
    for outcome in unexplained:
        print(f"UNEXPLAINED  {outcome.case}: {outcome.verdict}\n             {outcome.detail}")
    for deviation in vanished:
        print(f"VANISHED     {deviation.case} is no longer {deviation.verdict}: take it off deviations.toml")
    counts = ", ".join(f"{n} {name}" for name, n in verdict.counts().items())
    good = bool(verdict.outcomes) and not unexplained and not vanished
    print(f"{suite}: {len(verdict.outcomes)} cases: {counts or 'none'}: {'passed' if good else 'FAILED'}")
    return PASSED if good else FAILED


def chosen(case: str, patterns: Sequence[str]) -> bool:
    """Whether a case was asked for; no patterns ask for all."""
    return not patterns or any(fnmatchcase(case, pattern) for pattern in patterns)
