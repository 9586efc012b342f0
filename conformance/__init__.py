"""Suites that judge the node from outside: each has a command of its own."""
