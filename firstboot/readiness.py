"""Telling systemd that a program is ready."""

from __future__ import annotations

import os
import socket

COMING = f"EXTEND_TIMEOUT_USEC={20_000_000}"
"""For systemd: it goes on, the first picture needs up to 20 s from here (sd_notify(3))."""


def notify(words: str) -> None:
    """Tell systemd (sd_notify(3)), where it wants to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(words.encode())
