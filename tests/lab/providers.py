"""The far providers of the lab: names, addresses, folders and habits of each, as a table.

Addresses are of TEST-NET-3, 203.0.113.0/24 (RFC 5737). Each provider has four, so that the bytes that go to its
IMAP and to its SMTP can be told apart on the wire, and one can be down without the other. What the real ones do was
seen from outside: their folder names and SPECIAL-USE (RFC 6154), their limits, and the words they refuse with.
"""

from __future__ import annotations

from dataclasses import dataclass

INBOX = "INBOX"


@dataclass(frozen=True)
class Port:
    """One public port: `service` is imap, smtp, mx or web, `wrapped` says that TLS comes first (RFC 8314)."""

    service: str
    number: int
    wrapped: bool = False


@dataclass(frozen=True)
class Folder:
    """A folder that every account has, and what it is for (RFC 6154), without the backslash."""

    name: str
    use: str


@dataclass(frozen=True)
class Refusal:
    """How a login is refused: what follows `NO` in IMAP, and what Postfix puts behind `535 5.7.8` in SMTP."""

    imap: str
    smtp: str


@dataclass(frozen=True)
class TokenSite:
    """Where a provider gives tokens (OAuth2), and how: see tokens.py.

    `rotates`: each use of a refresh token gives another one; `device`: people can allow access to their mail with a
    code; `length` is that of an access token, in characters.
    """

    names: tuple[str, ...]
    token_path: str
    device_path: str
    verification: str
    scope: str
    rotates: bool
    device: bool
    length: int


@dataclass(frozen=True)
class Provider:
    """A provider. `number` makes its addresses; the first domain is that of logins without one."""

    name: str
    number: int
    domains: tuple[str, ...]
    imap_names: tuple[str, ...]
    smtp_names: tuple[str, ...]
    mx_name: str
    ports: tuple[Port, ...]
    folders: tuple[Folder, ...]
    wrong_password: Refusal
    ordinary_password: Refusal
    """For the password of the person's web login, which providers with app passwords do not take here."""
    unknown_person: str
    """The reply to a RCPT for nobody."""
    foreign_sender: str
    """What becomes of mail from an address that is not the login's: `rewrite`, `refuse` or `take`."""
    sent_folder: str | None = None
    """Where a copy of each mail sent is filed unasked; None where that is the mail program's business."""
    all_folder: str | None = None
    """Where a copy is put of each mail that comes in or is sent. Unlike at the real one it is a mail of its own:
    flags, moving and deleting change nothing of the other, and what a program appends elsewhere is not copied."""
    by_token_only: bool = False
    """It asks for no password, in IMAP or SMTP."""
    ignores_spaces: bool = False
    """It takes a password with spaces in it or without them: it shows its app passwords in groups of four."""
    size_limit: int = 26_214_400
    """Bytes of the largest message taken, encoded as it is sent."""
    lacks: tuple[str, ...] = ()
    """Capabilities of Dovecot that the real one does not have."""
    tokens: TokenSite | None = None
    """Where programs get tokens to log in with; None where only passwords are taken."""

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each service: imap, smtp, mx and web."""
        services = ("imap", "smtp", "mx", "web")
        return {service: f"203.0.113.{self.number * 10 + offset}" for offset, service in enumerate(services)}

    @property
    def loopback(self) -> str:
        """Where the daemons listen, behind the front (see front.py)."""
        return f"127.0.{self.number}.1"

    @property
    def names(self) -> dict[str, str]:
        """Every host name with its address."""
        where = self.addresses
        found = dict.fromkeys(self.imap_names, where["imap"]) | dict.fromkeys(self.smtp_names, where["smtp"])
        if self.tokens is not None:
            found |= dict.fromkeys(self.tokens.names, where["web"])
        return found | {self.mx_name: where["mx"]}


NO_PASSWORDS = Refusal(imap="[AUTHENTICATIONFAILED] no password is taken", smtp="no password is taken")
"""Of a provider that never asks for one."""

IMAPS, IMAP = Port("imap", 993, wrapped=True), Port("imap", 143)
SUBMISSIONS, SUBMISSION = Port("smtp", 465, wrapped=True), Port("smtp", 587)
MX, WEB = Port("mx", 25), Port("web", 443, wrapped=True)

_GOOGLE_HELP = "https://support.google.com/mail/?p="

GMAIL = Provider(
    name="gmail",
    number=1,
    domains=("gmail.com", "googlemail.com"),
    imap_names=("imap.gmail.com",),
    smtp_names=("smtp.gmail.com",),
    mx_name="gmail-smtp-in.l.google.com",
    ports=(IMAPS, SUBMISSIONS, SUBMISSION, MX, WEB),
    folders=(
        Folder("[Gmail]/All Mail", "All"),
        Folder("[Gmail]/Drafts", "Drafts"),
        Folder("[Gmail]/Important", "Important"),
        Folder("[Gmail]/Sent Mail", "Sent"),
        Folder("[Gmail]/Spam", "Junk"),
        Folder("[Gmail]/Starred", "Flagged"),
        Folder("[Gmail]/Trash", "Trash"),
    ),
    wrong_password=Refusal(
        imap="[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        smtp=f"Username and Password not accepted. For more information, go to {_GOOGLE_HELP}BadCredentials - gsmtp",
    ),
    ordinary_password=Refusal(
        imap="[ALERT] Application-specific password required: "
        "https://support.google.com/accounts/answer/185833 (Failure)",
        smtp=f"Application-specific password required. For more information, go to {_GOOGLE_HELP}"
        "InvalidSecondFactor - gsmtp",
    ),
    unknown_person="550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking "
    f"the recipient's email address for typos or unnecessary spaces. {_GOOGLE_HELP}NoSuchUser - gsmtp",
    foreign_sender="rewrite",
    sent_folder="[Gmail]/Sent Mail",
    all_folder="[Gmail]/All Mail",
    ignores_spaces=True,
    lacks=("QRESYNC", "THREAD=REFERENCES", "THREAD=REFS", "THREAD=ORDEREDSUBJECT", "SORT", "SORT=DISPLAY"),
    tokens=TokenSite(
        names=("oauth2.googleapis.com", "accounts.google.com"),
        token_path="/token",
        device_path="/device/code",
        verification="https://www.google.com/device",
        scope="https://mail.google.com/",
        rotates=False,
        device=False,
        length=220,
    ),
)

YAHOO = Provider(
    name="yahoo",
    number=2,
    domains=("yahoo.com", "yahoo.co.in", "yahoo.in", "ymail.com", "rocketmail.com"),
    imap_names=("imap.mail.yahoo.com",),
    smtp_names=("smtp.mail.yahoo.com",),
    mx_name="mta5.am0.yahoodns.net",
    ports=(IMAPS, SUBMISSIONS, SUBMISSION, MX),
    folders=(
        Folder("Archive", "Archive"),
        Folder("Bulk", "Junk"),
        Folder("Draft", "Drafts"),
        Folder("Sent", "Sent"),
        Folder("Trash", "Trash"),
    ),
    wrong_password=Refusal(
        imap="[AUTHENTICATIONFAILED] LOGIN Invalid credentials", smtp="(#AUTH005) Too many bad auth attempts."
    ),
    ordinary_password=Refusal(
        imap="[AUTHENTICATIONFAILED] LOGIN Invalid credentials", smtp="(#AUTH005) Too many bad auth attempts."
    ),
    unknown_person="552 1 Requested mail action aborted, mailbox not found",
    foreign_sender="refuse",
    lacks=("QRESYNC", "COMPRESS=DEFLATE"),
)

OUTLOOK = Provider(
    name="outlook",
    number=3,
    domains=("outlook.com", "hotmail.com", "live.com", "msn.com", "outlook.in", "hotmail.co.in"),
    imap_names=("outlook.office365.com",),
    smtp_names=("smtp.office365.com", "smtp-mail.outlook.com"),
    mx_name="outlook-com.olc.protection.outlook.com",
    ports=(IMAPS, SUBMISSION, MX, WEB),
    folders=(
        Folder("Archive", "Archive"),
        Folder("Deleted", "Trash"),
        Folder("Drafts", "Drafts"),
        Folder("Junk", "Junk"),
        Folder("Sent", "Sent"),
    ),
    wrong_password=NO_PASSWORDS,
    ordinary_password=NO_PASSWORDS,
    unknown_person="550 5.5.0 Requested action not taken: mailbox unavailable.",
    foreign_sender="refuse",
    sent_folder="Sent",
    by_token_only=True,
    size_limit=37_748_736,
    lacks=("QRESYNC", "CONDSTORE", "COMPRESS=DEFLATE"),
    tokens=TokenSite(
        names=("login.microsoftonline.com",),
        token_path="/common/oauth2/v2.0/token",
        device_path="/common/oauth2/v2.0/devicecode",
        verification="https://microsoft.com/devicelogin",
        scope="https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send",
        rotates=True,
        device=True,
        length=1600,
    ),
)

GENERIC = Provider(
    name="generic",
    number=4,
    domains=("example.org",),
    imap_names=("imap.example.org",),
    smtp_names=("smtp.example.org",),
    mx_name="mx.example.org",
    ports=(IMAPS, IMAP, SUBMISSIONS, SUBMISSION, MX),
    folders=(Folder("Drafts", "Drafts"), Folder("Junk", "Junk"), Folder("Sent", "Sent"), Folder("Trash", "Trash")),
    wrong_password=Refusal(imap="[AUTHENTICATIONFAILED] Authentication failed.", smtp="Authentication failed."),
    ordinary_password=Refusal(imap="[AUTHENTICATIONFAILED] Authentication failed.", smtp="Authentication failed."),
    unknown_person="550 5.1.1 User unknown",
    foreign_sender="take",
)

PROVIDERS = {provider.name: provider for provider in (GMAIL, YAHOO, OUTLOOK, GENERIC)}


def provider_of(address: str) -> Provider:
    """The provider whose domain an address is in; raises ValueError that names the domains there are."""
    domain = address.rpartition("@")[2].lower()
    for provider in PROVIDERS.values():
        if domain in provider.domains:
            return provider
    known = ", ".join(name for provider in PROVIDERS.values() for name in provider.domains)
    raise ValueError(f"no provider of the lab has mail for {address!r}; their domains are {known}")
