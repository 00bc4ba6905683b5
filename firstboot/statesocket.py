"""Which screen is shown, for tests: one line of JSON to root, who connects. No answer that is a secret is in it."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

SOCKET = Path("run/mojomail/firstboot-state")

log = logging.getLogger(__name__)


class StateSocket:
    """A Unix socket that only root may open, served by a thread of its own."""

    def __init__(self, root: Path, state: Callable[[], Mapping[str, object]]) -> None:
        path = root / SOCKET
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._state = state
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(4)
        threading.Thread(target=self._serve, name="state", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            with caller:
                try:
                    caller.settimeout(2.0)
                    caller.sendall(json.dumps(self._state(), ensure_ascii=False).encode() + b"\n")
                except Exception as error:
                    # Whoever asks again gets an answer. The text of an error may quote an answer that is a secret.
                    log.warning("the state could not be told: %s", type(error).__name__)

    def close(self) -> None:
        """Serve no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
