"""What the application knows: a version for each resource, and how its reads go.

It is a directory, so that it outlives the application's process, and so that a write needs no application that works.
"""

import json
import mmap
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

RESOURCES = 64
"""Versions that there is room for."""
FOLDER_VARIABLE = "FAULTS_DATABASE"
"""Tells the application where it is."""
KINDS = ("tagged", "varied", "private", "streamed", "large")
VERSION = struct.Struct("=Q")


def tag(resource: int) -> str:
    """What a change of a resource is announced as."""
    return f"r{resource}"


def kind(resource: int) -> str:
    """Which of KINDS a resource is."""
    return KINDS[resource % len(KINDS)]


class Database:
    """One process has it as the application, another as the writers.

    Each commits in a place of its own, and the larger version counts: in one place, a process that was held up between
    its look and its write would undo what the other had committed meanwhile.
    """

    def __init__(self, folder: Path, who: Literal["application", "writers"]) -> None:
        """Open it; make it if there is none."""
        versions = folder / "versions"
        if not versions.exists():
            versions.write_bytes(bytes(2 * RESOURCES * VERSION.size))
        self._place = 0 if who == "application" else RESOURCES
        self._behaving: dict[str, str] = {}
        self._behaviour = folder / "behaviour.json"
        with versions.open("r+b") as file:
            self._versions = mmap.mmap(file.fileno(), 0)

    def version(self, resource: int) -> int:
        """The newest version of a resource."""
        return max(self._committed(place, resource) for place in (0, RESOURCES))

    def _committed(self, place: int, resource: int) -> int:
        found: int = VERSION.unpack_from(self._versions, (place + resource) * VERSION.size)[0]
        return found

    def write(self, resource: int, version: int) -> None:
        """Commit. A write that was overtaken changes nothing."""
        if version > self._committed(self._place, resource):
            VERSION.pack_into(self._versions, (self._place + resource) * VERSION.size, version)

    def behave(self, behaviour: Mapping[str, str]) -> None:
        """Say how reads go from now on: by resource, "*" for every one; {} when all is well."""
        new = self._behaviour.with_suffix(".new")
        new.write_text(json.dumps(behaviour))
        os.replace(new, self._behaviour)

    def behaviour(self, resource: int) -> str:
        """How a read of a resource goes."""
        with suppress(OSError):  # there is none, or no descriptor to read it with
            self._behaving = json.loads(self._behaviour.read_text())
        return self._behaving.get(str(resource), self._behaving.get("*", "well"))
