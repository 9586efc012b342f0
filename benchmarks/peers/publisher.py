"""Publishes to a server that is told what to push by HTTP, at a steady rate, without waiting for its answers."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from benchmarks.application import body_of
from benchmarks.processes import BenchmarkError
from benchmarks.station import Pushed

AT_ONCE = 16
"""Requests that may wait for their answers; what is beyond waits its turn."""


class Publisher:
    """Where and how to publish."""

    def __init__(
        self,
        port: int,
        path: str,
        wrap: Callable[[bytes], bytes] = lambda state: state,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """wrap: makes the body of the request of the state."""
        self._port, self._path, self._wrap = port, path, wrap
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._mine = threading.local()

    def push(self, rate: float, seconds: float) -> Pushed:
        """Publish at a rate. Raises BenchmarkError if the server refuses."""
        start, start_ns, messages = time.monotonic(), time.time_ns(), int(rate * seconds)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = []
            for tick in range(messages):
                time.sleep(max(0.0, start + tick / rate - time.monotonic()))
                answers.append(pool.submit(self._publish, body_of(start_ns + int(tick / rate * 1e9))))
            for answer in answers:
                answer.result()
        return Pushed(messages)

    def _publish(self, state: bytes) -> None:
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = http.client.HTTPConnection("127.0.0.1", self._port, 30)
        try:
            connection.request("POST", self._path, self._wrap(state), self._headers)
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchmarkError(f"POST {self._path}: {error!r}") from error
        if response.status >= 300:
            raise BenchmarkError(f"POST {self._path} was answered {response.status}: {said[:200]!r}")
