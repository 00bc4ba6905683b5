"""Who leaves: the mail that still waits to be sent from accounts that are about to be removed.

Without its account such a mail has no way to a provider, and its sender no address to be told at.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from ..accounts import Account, accounts
from ..addresses import lookup_keys
from ..catalogue import say
from ..controlclient import ask
from ..errors import InputError, MojoError, SystemFault
from .context import Context

CANCEL_HELP = "also remove mail that waits to be sent; nobody will get it"
WAITS = ("waiting", "held", "sending")


@dataclass(frozen=True)
class LeavingMail:
    """The numbers of the mails that wait to be sent from some accounts; `whose` names these to people."""

    whose: str
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, context: Context, leaving: Iterable[Account], whose: str) -> LeavingMail:
        """What waits, by the daemon, or by Postfix's queue where no daemon answers. Raises SystemFault."""
        everybody = accounts(context.database)
        owners = {name: one.id for one in everybody for name in (one.address_ascii, one.address_unicode)}
        ids = {one.id for one in leaving}
        try:
            senders = _known_to_daemon(context) if ids else {}
        except SystemFault:
            senders = _in_queue()
        owned = {
            number: next((owners[key] for key in lookup_keys(sender) if key in owners), None)
            for number, sender in senders.items()
        }
        return cls(whose, tuple(number for number, owner in owned.items() if owner in ids))

    def check(self, *, cancel: bool) -> None:
        """Raises InputError when mail waits that is not to be cancelled."""
        if self.numbers and not cancel:
            text = say("leaving.waits", whose=self.whose, count=len(self.numbers))
            raise InputError(text, hint=say("hint.leaving"))

    def question(self, question: str) -> str:
        """A question, with what becomes of the mail behind it."""
        return f"{question} {say('leaving.cancelled-too', count=len(self.numbers))}" if self.numbers else question

    def cancel(self, context: Context) -> None:
        """Remove the mails, also one that is on its way. Raises SystemFault when one is still there afterwards."""
        from ..mailqueue import MailQueue

        for number in self.numbers:
            try:
                ask(context.places.run / "control", "cancel", id=number)
            except MojoError:  # it is on its way, it has gone, or no daemon answers
                with suppress(MojoError):
                    MailQueue().cancel(number)
        if self.numbers and (left := set(self.numbers) & _in_queue().keys()):
            raise SystemFault(say("leaving.not-cancelled", numbers=", ".join(sorted(left))))


def _known_to_daemon(context: Context) -> dict[str, str]:
    """Senders by number. A mail that left the queue unrecorded waits no more, whatever became of it."""
    mails = ask(context.places.run / "control", "outbox")["mails"]
    return {one["id"]: one["sender"] for one in mails if one["state"] in WAITS and one["why"] != "unknown"}


def _in_queue() -> dict[str, str]:
    """Senders by number, of what goes to a provider. Before Postfix has ever started there is nothing."""
    from ..mailqueue import SHOWQ, MailQueue
    from ..outbox import MAILBOXES

    mails = MailQueue().list() if SHOWQ.exists() else []
    away = [mail for mail in mails if any(not one.address.endswith(MAILBOXES) for one in mail.recipients)]
    return {mail.id: mail.sender for mail in away}
