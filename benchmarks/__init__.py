"""The benchmarks: what a node costs, beside its peers and beside the floor, in one run on one machine.

`make bench` runs all of them, prints ratios with their budgets (docs/benchmarks.md) and writes JSON. Nothing
here asserts on time.
"""
