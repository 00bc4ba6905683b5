"""Files of mail in a Maildir as Dovecot and OfflineIMAP take them: whole, on the card, and then in their place."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

PIECE = 256 * 1024


class MailStore:
    """One local folder, through OfflineIMAP's object for it."""

    def __init__(self, folder: Any) -> None:
        self._folder = folder
        self.path = Path(folder.getfullname())

    def file(self, uid: int) -> Path:
        """Where the mail lies at the moment; Dovecot renames files when flags change. Raises FileNotFoundError."""
        path: Path = self.path / self._folder.messagelist[uid]["filename"]
        if path.exists():
            return path
        for place in ("cur", "new"):
            for other in (self.path / place).iterdir():
                if other.name.split(":")[0] == path.name.split(":")[0]:
                    self._folder.messagelist[uid]["filename"] = f"{place}/{other.name}"
                    return other
        raise FileNotFoundError(path)

    def add(self, uid: int, mail: bytes, flags: set[str], arrived: float | None) -> None:
        """Store a mail that came with CRLF, under its UID at the provider; `arrived` is when it came there."""
        temporary = self._temporary(uid, flags)
        with temporary.open("xb") as file:
            file.write(mail.replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(file.fileno())
        self._place(temporary, uid, flags, arrived)

    def add_file(self, uid: int, source: Path, flags: set[str], arrived: float | None) -> None:
        """Store a mail that lies in a file with CRLF; needs no memory for it."""
        temporary = self._temporary(uid, flags)
        with source.open("rb") as mail, temporary.open("xb") as file:
            held = b""
            while piece := mail.read(PIECE):
                piece = held + piece
                held = b"\r" if piece.endswith(b"\r") else b""
                file.write(piece[: len(piece) - len(held)].replace(b"\r\n", b"\n"))
            file.write(held)
            file.flush()
            os.fsync(file.fileno())
        self._place(temporary, uid, flags, arrived)

    def give_uid(self, old: int, uid: int) -> None:
        """Put the provider's UID into the name of a mail that had none."""
        path = self.file(old)
        flags = self._folder.messagelist[old]["flags"]
        name = self._folder.new_message_filename(uid, flags)
        path.rename(path.with_name(name))
        self._sync(path.parent)
        entry = self._folder.messagelist.pop(old)
        self._folder.messagelist[uid] = entry | {"filename": f"{path.parent.name}/{name}"}

    def take_uid(self, uid: int, other: int) -> None:
        """Take the UID out of the name of a mail; from now on it is listed as `other`, below zero."""
        path = self.file(uid)
        first, colon, flags = path.name.partition(":")
        name = first.split(",U=")[0] + colon + flags
        target = path.with_name(name)
        if target.exists():
            target = path.with_name(f"{first.split(',U=')[0]}.{uid}{colon}{flags}")
        path.rename(target)
        entry = self._folder.messagelist.pop(uid)
        self._folder.messagelist[other] = entry | {"filename": f"{path.parent.name}/{target.name}"}

    def sync(self) -> None:
        """Bring renamed files to the card."""
        for place in ("cur", "new"):
            self._sync(self.path / place)

    def room(self) -> int:
        """Bytes that are left for the person's mail."""
        return shutil.disk_usage(self.path).free

    def _temporary(self, uid: int, flags: set[str]) -> Path:
        return self.path / "tmp" / str(self._folder.new_message_filename(uid, flags))

    def _place(self, temporary: Path, uid: int, flags: set[str], arrived: float | None) -> None:
        # Dovecot shows a file's time as that of the mail's arrival.
        when = arrived if arrived else time.time()
        os.utime(temporary, (when, when))
        place = "cur" if "S" in flags else "new"
        temporary.rename(self.path / place / temporary.name)
        self._sync(self.path / place)
        self._folder.messagelist[uid] = {"flags": set(flags), "filename": f"{place}/{temporary.name}"}

    @staticmethod
    def _sync(directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
