"""Attacks on a node and on other servers, each in the state that it is in when nobody has said anything.

`python -m conformance.attacks` starts each server for each attack on a free port of 127.0.0.1, attacks it with the
bytes of `tests/security/wire.py`, and writes what happened into the table of docs/security.md. It fails if the node
does worse than `attacks.py` says it must.
"""
