"""Clients of a node: the event-stream parser, following a resource, and what changed between two
representations.
"""
