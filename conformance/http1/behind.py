"""The corpus through a proxy to a node: whatever the proxy passes on, it and the node see the same requests.

After each case two others ask something through the same proxy. Each must get the answer to what it asked, and the
application must have been given exactly the requests whose answers came back, in their order. One more may have reached
it if the proxy gave up on it half way, and said so: Varnish ends a request whose chunks it cannot read as if it were
whole, and answers 503 itself.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from conformance.http1.cases import Case
from conformance.http1.fronts import FRONTS
from conformance.http1.judge import Given
from conformance.http1.servers import freshwire
from conformance.http1.starter import MissingError, Server, Starter
from conformance.http1.talk import PROBE, Talk

FILES = ("smuggling", "message", "target", "host", "fields", "length", "chunked", "connection", "methods")
"""The subjects where a request can be read in two ways."""
VICTIM = "/victim"


def run(names: list[str], cases: list[Case]) -> int:
    """How many cases a node and a proxy read differently."""
    failed = 0
    for name in names:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
            starter = Starter(stack, directory, "freshwire")
            node = freshwire(starter)
            try:
                address = ("127.0.0.1", FRONTS[name](starter, node.address[1]))
            except MissingError as error:
                print(f"behind {name}: not installed ({error})")
                failed += 1
                continue
            asked = [case for case in cases if case.id.split("/")[0] in FILES and case.then == "probe"]
            faults = [fault for case in asked for fault in _attack(case, address, node)]
            print(f"behind {name}: {len(asked)} cases, {len(faults)} read differently")
            print(*(f"  {fault}" for fault in faults), sep="\n", end="\n" if faults else "")
            failed += len(faults)
    return failed


def _attack(case: Case, address: tuple[str, int], node: Server) -> list[str]:
    faults = []
    for cut in (False, True):
        node.seen()
        heard = Talk(address, case.requests).hold(case.parts(), cut=cut, then=case.then, most=case.most)
        answered = [answer["x-target"] for answer in heard.answers if answer["x-app"] == "1"]
        for n in range(2):
            target = f"{VICTIM}?{n}"
            request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            got = Talk(address, [("GET", 1)]).hold([request], cut=False, then="probe", most=1)
            if [answer["x-target"] for answer in got.answers] != [target]:
                faults.append(f"{case.id}: who asked for {target} got {got.text} {got.answers}")
        given: Given = [request for request in node.seen() if request["target"] != PROBE]
        reached = [request["target"][:200] for request in given if not request["target"].startswith(VICTIM)]
        more = reached[len(answered) :]
        abandoned = heard.end == "open" or any(answer.status >= 500 for answer in heard.answers)
        if reached[: len(answered)] != answered or len(more) > abandoned or "/hidden" in more:
            faults.append(
                f"{case.id}: {answered} were answered ({heard.text}), {reached} reached the application"
            )
    return faults
