"""Ten thousand clients behind caches: what the node and its application have to do for them, and what the clients get.

`ways.py` says how clients can follow a resource and what stands in between, `measure.py` has them do it, `report.py`
shows what came of it. The caches are nginx and Varnish with the configurations of docs/behind.
"""
