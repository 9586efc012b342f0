"""Attacks on a running node: one file a theme, the rows of the threat table that it covers in its docstring."""
