"""A real node in a test: `with node(app) as live:`, then `live.url`, `live.watch(path)`, `live.changed(tag)`.

`proxy(url)` is the same before an HTTP application.

The pytest fixture `freshwire_node` (see `freshwire.testing.plugin`) starts as many as a test needs, and ends
them.
"""

from freshwire.testing.node import LiveNode, node, proxy
from freshwire.testing.watch import Representation, Transport, Watch

__all__ = ["LiveNode", "Representation", "Transport", "Watch", "node", "proxy"]
