"""Purging the caches in front of a node of what changes: Varnish, Fastly, Cloudflare, CloudFront, Akamai, bunny,
or anything that takes a webhook.

`settings` says which, `purging` connects them with the node, `lane` is the queue to each, and each of the others
is what one API asks for. Imported only by who purges: httpx takes its time.
"""

from freshwire.purge.cache import Cache, Names, PurgeError
from freshwire.purge.purging import Purging
from freshwire.purge.settings import CACHES, caches, described, variables, with_fields

__all__ = [
    "CACHES",
    "Cache",
    "Names",
    "PurgeError",
    "Purging",
    "caches",
    "described",
    "variables",
    "with_fields",
]
