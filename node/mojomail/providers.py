"""Mail providers: presets by domain, from providers.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from . import shipped
from .addresses import Address, nearest
from .catalogue import say
from .errors import InputError

Tls = Literal["tls", "starttls"]
SecretKind = Literal["password", "app-password", "oauth2"]
SECRET_KINDS: tuple[SecretKind, ...] = ("password", "app-password", "oauth2")
TLS_KINDS: tuple[Tls, ...] = ("tls", "starttls")
CLIENT_SECRETS = {"microsoft": -1, "google": -2}
"""Who gives tokens, and the numbers under which the vault keeps this node's secrets as their client: below those of
accounts."""
ROLES = ("sent", "drafts", "trash", "junk", "archive")
GENERIC = "generic"
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?")
"""A host's name or IPv4 address; names with other letters in their ASCII spelling (xn--...)."""


@dataclass(frozen=True)
class Server:
    """One server of a provider: where it is, and how TLS begins."""

    host: str
    port: int
    tls: Tls

    def __str__(self) -> str:
        return f"{self.host} {self.port} {self.tls}"


@dataclass(frozen=True)
class Provider:
    """A provider as providers.yaml describes it; `imap` and `smtp` are None for the generic one."""

    id: str
    name: str
    domains: tuple[str, ...]
    mx: tuple[str, ...]
    imap: Server | None
    smtp: Server | None
    local_imap_user: bool
    secrets: tuple[SecretKind, ...]
    oauth: str | None
    files_sent: bool
    largest: int
    help: str
    app_password: str
    folders: dict[str, str] = field(hash=False)

    def imap_user(self, address: Address) -> str:
        """What to log in to IMAP with."""
        return address.written.partition("@")[0] if self.local_imap_user else address.written

    def how_to(self) -> str:
        """How to get the secret it wants, in plain words and the language of the moment."""
        return say(self.help)


@cache
def providers() -> dict[str, Provider]:
    """All presets by id."""
    return {name: _provider(name, given) for name, given in shipped.table("providers.yaml").items()}


def _provider(name: str, given: dict[str, Any]) -> Provider:
    return Provider(
        id=name,
        name=given["name"],
        domains=tuple(given.get("domains", ())),
        mx=tuple(given.get("mx", ())),
        imap=parse_server(given["imap"]) if "imap" in given else None,
        smtp=parse_server(given["smtp"]) if "smtp" in given else None,
        local_imap_user=given.get("imap_user") == "local",
        secrets=tuple(given["secrets"]),
        oauth=given.get("oauth"),
        folders={role: given["folders"].get(role, "") for role in ROLES},
        files_sent=given["files_sent"],
        largest=given["largest"],
        help=given["help"],
        app_password=given.get("app_password", ".+"),
    )


def parse_server(text: str) -> Server:
    """Read `HOST PORT TLS`, such as `imap.example.org 993 tls`. Raises InputError."""
    words = text.replace(":", " ").split()
    if len(words) == 3 and HOST.fullmatch(words[0].lower()) and words[1].isdecimal() and 0 < int(words[1]) < 65536:
        for tls in TLS_KINDS:
            if words[2] == tls:
                return Server(words[0].rstrip(".").lower(), int(words[1]), tls)
    raise InputError(say("server.form", given=text[:100]))


def provider_named(name: str) -> Provider:
    """The preset with this id. Raises InputError with the nearest one there is."""
    found = providers().get(name)
    if found is None:
        near = nearest(name, list(providers()))
        hint = say("hint.did-you-mean", suggestion=near) if near else say("provider.list", known=", ".join(providers()))
        raise InputError(say("provider.unknown", provider=name[:60]), hint=hint)
    return found


def provider_for_domain(domain: str) -> Provider | None:
    """The preset whose own domain this is, or a domain below one of these."""
    for provider in providers().values():
        if any(domain == own or domain.endswith("." + own) for own in provider.domains):
            return provider
    return None


def provider_for_mx(names: Iterable[str]) -> Provider | None:
    """The preset that takes mail under one of these MX names, which are given best first."""
    for name in names:
        host = name.rstrip(".").lower()
        for provider in providers().values():
            if any(host == end or host.endswith(("." + end, "-" + end)) for end in provider.mx):
                return provider
    return None


def mistyped_domain(domain: str) -> str | None:
    """The well-known domain that was probably meant: gamil.com gives gmail.com."""
    if provider_for_domain(domain) is not None:
        return None
    known = [own for provider in providers().values() for own in provider.domains]
    return nearest(domain, known)
