"""http-cache-tests with `freshwire proxy` as the cache before the suite's origin (RFC 9111, RFC 9213, RFC 5861)."""
