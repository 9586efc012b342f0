"""Tests of examples/departures."""
