"""Suites that others wrote, and the long runs of our own, against the real node: one command each."""
