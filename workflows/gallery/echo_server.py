"""The handler of echo-server.yaml: one conversation with one client.

client ── hello ──► talk ── HELLO ──► client
"""

from __future__ import annotations

import socket


def talk(conn: socket.socket) -> None:
    """Answer whatever comes until the client has no more to say. The socket is closed when this returns."""
    while data := conn.recv(1024):
        conn.sendall(data.upper())
