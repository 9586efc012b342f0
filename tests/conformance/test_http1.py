"""The HTTP/1.1 corpus against a node: each case whole and byte by byte, as the RFC or our list of deviations has it."""

from collections.abc import Iterator

import pytest

from conformance.http1.cases import Case, load
from conformance.http1.judge import run
from conformance.http1.report import surprises
from conformance.http1.servers import start
from conformance.http1.starter import Server
from conformance.verdict import written

CASES = load()


@pytest.fixture(scope="module")
def node() -> Iterator[Server]:
    with start("freshwire") as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_of_the_corpus_is_answered_as_it_should_be(case: Case, node: Server) -> None:
    verdict = run(case, node.address, node.seen, own=True)
    assert not surprises({case.id: verdict}, whole=False), case.send


def test_each_deviation_is_of_a_case() -> None:
    assert {deviation.case for deviation in written("http1")} <= {case.id for case in CASES}
