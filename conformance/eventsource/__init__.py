"""The rules of server-sent events (HTML standard §9.2) in Chromium, through the node: what an application streams
itself, and what the node streams of a watched resource.
"""
