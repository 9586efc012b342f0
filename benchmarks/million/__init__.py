"""A million watchers on one machine: they are held, a resource changes, and every one of them is shown to have got it.

`make million` (docs/million.md). The phases are in `phases.py`; everything else here serves them: how many nodes it
takes (`plan.py`), what the kernel must allow (`settings.py`), whoever puts that back (`keeper.py`), the processes
(`children.py`), what they cost (`memory.py`) and what is shown in the end (`report.py`).
"""


class MillionError(Exception):
    """It cannot be done, or was not; the text says why."""
