"""Bad days: a real node under a steady load of writes, real clients, and something that goes wrong.

`python -m conformance.faults` runs every scenario at its full size; `tests/faults` runs the same ones small. Each
client writes down what it asked and what it was told, the writers write down what was acknowledged, and `history.check`
reads nothing but that: it finds what was lost, went backwards, never was, was stale, or was somebody else's.

What is where: `database` and `site` are the application, `node` its process, `clients` who reads, `trial` brings them
together, `scenarios` are the bad days.
"""
