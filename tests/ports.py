"""Ports for servers that have to be told which."""

import secrets
import socket
from pathlib import Path

LOWEST = 10_000
CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""What the kernel gives to clients, and to servers that take any."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, and that no client or server is given before it is used."""
    clients_from = max(int(CLIENTS.read_text().split()[0]), 2 * LOWEST)
    while True:
        port = LOWEST + secrets.randbelow(clients_from - LOWEST)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
