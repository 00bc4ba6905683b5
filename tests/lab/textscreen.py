"""A text screen of the machine, and what has come on it since one looked last."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextScreen:
    """What a text screen shows (vcs(4)): its lines, each as wide as the screen, and where its cursor is, from 0."""

    lines: tuple[str, ...]
    column: int
    row: int

    @property
    def text(self) -> str:
        """The lines, without blanks at their ends."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")

    @property
    def typed(self) -> str:
        """All before the cursor, without line ends: its end is what was typed last.

        After a letter in the last column the cursor stands on it, and goes on only with the next letter.
        """
        line = self.lines[self.row]
        stays = self.column == len(line) - 1 and line[-1] != " "
        return "".join(self.lines[: self.row]) + line[: self.column + stays]

    def has_gained(self, text: str, before: TextScreen) -> bool:
        """Whether `text` has come before the cursor since the screen was as `before`.

        Lines are of one width, so what does not fit into one goes on in the next as if there were no end. What
        stood there before must still be there, but for whole lines at the top that had to make room for the text.
        The machine may have written something between the two, as long as there is room for all.
        """
        there, known, width = self.typed, before.typed, len(self.lines[0])
        if there.startswith(known) and there[len(known) :].endswith(text):
            return True
        whole = known + text
        last = len(whole) // width  # the line where the cursor then is; or it stays at the end of the one before
        rows = {last, last - (not len(whole) % width)}
        return any(there == whole[max(0, row + 1 - len(self.lines)) * width :] for row in rows)
