"""Letters from the node to its people, in their language: handed to Dovecot by LMTP, never sent anywhere."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from .errors import SystemFault

LMTP_SOCKET = Path("/var/spool/postfix/private/dovecot-lmtp")

TEXTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "password": {
        "en": (
            "{address}: the password no longer works",
            "Your provider refused the password of {address}.\n\nNothing is lost: mail you write waits here, and mail "
            "for you waits at the provider. Give the new password to this node (for Gmail and Yahoo: an app "
            "password); then everything goes on by itself.\n\nThe provider said:\n{said}\n",
        ),
        "hi": (
            "{address}: पासवर्ड अब काम नहीं करता",
            "आपके मेल प्रदाता ने {address} का पासवर्ड स्वीकार नहीं किया।\n\nकुछ भी खोया नहीं है: आपकी लिखी डाक यहाँ "
            "रुकी है, और आपकी डाक प्रदाता के पास है। इस केंद्र को नया पासवर्ड दें (Gmail और Yahoo के लिए: ऐप पासवर्ड); "
            "फिर सब अपने आप चलने लगेगा।\n\nप्रदाता ने कहा:\n{said}\n",
        ),
        "kn": (
            "{address}: ಪಾಸ್‌ವರ್ಡ್ ಈಗ ಕೆಲಸ ಮಾಡುತ್ತಿಲ್ಲ",
            "ನಿಮ್ಮ ಮೇಲ್ ಸೇವೆ {address} ನ ಪಾಸ್‌ವರ್ಡ್ ಅನ್ನು ಒಪ್ಪಲಿಲ್ಲ.\n\nಏನೂ ಕಳೆದುಹೋಗಿಲ್ಲ: ನೀವು ಬರೆದ ಅಂಚೆ ಇಲ್ಲಿ ಕಾಯುತ್ತಿದೆ, "
            "ನಿಮಗೆ ಬಂದ ಅಂಚೆ ಸೇವೆಯ ಬಳಿ ಇದೆ. ಈ ಕೇಂದ್ರಕ್ಕೆ ಹೊಸ ಪಾಸ್‌ವರ್ಡ್ ಕೊಡಿ (Gmail ಮತ್ತು Yahoo ಗೆ: ಆ್ಯಪ್ ಪಾಸ್‌ವರ್ಡ್); "
            "ನಂತರ ಎಲ್ಲವೂ ತಾನಾಗಿಯೇ ಮುಂದುವರಿಯುತ್ತದೆ.\n\nಸೇವೆ ಹೇಳಿದ್ದು:\n{said}\n",
        ),
    },
}
"""Subject and text by notice and language."""


def letter(notice: str, language: str, mailbox: str, **values: str) -> EmailMessage:
    """A notice as a mail to a person's mailbox. The guard keeps mail that says it was made by a program here."""
    by_language = TEXTS[notice]
    subject, text = by_language.get(language) or by_language["en"]
    domain = mailbox.rpartition("@")[2]
    mail = EmailMessage()
    mail["From"] = f"MojoMail <postmaster@{domain}>"
    mail["To"] = mailbox
    mail["Subject"] = subject.format(**values)
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = make_msgid(domain=domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text.format(**values))
    return mail


def deliver(mail: EmailMessage, mailbox: str, path: Path = LMTP_SOCKET) -> None:
    """Put a mail into a person's mailbox. Raises SystemFault; nothing is in the mailbox then."""
    try:
        with smtplib.LMTP(str(path), timeout=30) as dovecot:
            dovecot.send_message(mail, from_addr="", to_addrs=[mailbox])
    except (OSError, smtplib.SMTPException) as error:
        raise SystemFault(f"Dovecot does not take a notice: {error}") from None
