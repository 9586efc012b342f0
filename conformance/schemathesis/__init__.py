"""Schemathesis on the departures demo: what its OpenAPI description says, and what the node and it answer."""
