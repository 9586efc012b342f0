"""Suites that judge the node from outside, each a command: `python -m conformance.autobahn` and so on.

What a suite finds and nobody explained, and what was explained and is no longer found, makes it fail:
`conformance/verdict.py`. All of them: `python -m conformance`.
"""
