"""http-cache-tests against `freshwire proxy`: all of them at once, as in `python -m conformance.httpcache --alone`."""

from __future__ import annotations

from conformance.httpcache.__main__ import alone, judged
from conformance.httpcache.suite import install
from conformance.verdict import Verdict, written


def test_nothing_deviates_that_is_not_written_down() -> None:
    accepted = written("httpcache")
    results = alone(install(), [deviation.case for deviation in accepted])
    verdict = Verdict("httpcache", judged(results), accepted)
    assert len(verdict.outcomes) > 250
    assert not verdict.unexplained()
    assert not verdict.vanished()
