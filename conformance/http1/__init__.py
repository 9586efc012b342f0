"""HTTP/1.1 as a client can break it: a corpus (`corpus/*.toml`), and what servers make of it.

`python -m conformance.http1 --help`.
"""
