"""Finds the servers of a provider that has no preset, when the link is up.

Asked are the domain itself (https://autoconfig.<domain>/mail/config-v1.1.xml and
https://<domain>/.well-known/autoconfig/mail/config-v1.1.xml, in the format of Thunderbird's autoconfig) and, only if
told to, Mozilla's database of providers. None gets more than the domain: the address's local part is filled in here.
Everything is fetched by HTTPS, since who answers here is who gets the password.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.request
import xml.etree.ElementTree as xml
from collections.abc import Callable
from dataclasses import dataclass

from .addresses import Address
from .errors import InputError
from .providers import Server, parse_server

PATIENCE = 30.0
"""Seconds for each place to answer."""
FILE_LIMIT = 256 * 1024
"""Bytes; the files have 2 to 10 kB."""
ISPDB = "https://autoconfig.thunderbird.net/v1.1/{domain}"
PLACES = (
    "https://autoconfig.{domain}/mail/config-v1.1.xml",
    "https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
)
TLS = {"SSL": "tls", "STARTTLS": "starttls"}


@dataclass(frozen=True)
class Found:
    """Servers and logins for one address, and the page that told them."""

    imap: Server
    smtp: Server
    imap_user: str
    smtp_user: str
    source: str


class NotConfig(Exception):
    """A file is no configuration that can be used."""


Fetch = Callable[[str], bytes]


def look_up(address: Address, *, ispdb: bool = False, fetch: Fetch | None = None) -> Found | None:
    """The servers for an address, from the first place that names some; None when none does."""
    for place in PLACES + ((ISPDB,) if ispdb else ()):
        url = place.format(domain=address.domain)
        try:
            return parse((fetch or _fetch)(url), address, url)
        except (OSError, http.client.HTTPException, NotConfig):
            continue
    return None


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE, context=ssl.create_default_context()) as answer:
        if not str(answer.geturl()).startswith("https://"):
            raise NotConfig
        content = answer.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise NotConfig
    return bytes(content)


def parse(content: bytes, address: Address, source: str) -> Found:
    """Read a file in the clientConfig format. Raises NotConfig when it names no IMAP and SMTP with TLS and password."""
    # Entities could blow it up to any size, and no such file has any.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or len(content) > FILE_LIMIT:
        raise NotConfig
    try:
        root = xml.fromstring(content)
    except (xml.ParseError, ValueError, LookupError):
        raise NotConfig from None
    imap, imap_user = _server(root, "incomingServer", "imap", address)
    smtp, smtp_user = _server(root, "outgoingServer", "smtp", address)
    return Found(imap, smtp, imap_user, smtp_user, source)


def _server(root: xml.Element, tag: str, kind: str, address: Address) -> tuple[Server, str]:
    """The first server of a kind that takes a password under TLS; a server that wants it in clear is no server."""
    for element in root.iter(tag):
        if element.get("type") != kind:
            continue
        named = {name: _filled(element.findtext(name) or "", address) for name in ("hostname", "port", "socketType")}
        try:
            server = parse_server(f"{named['hostname']} {named['port']} {TLS.get(named['socketType'], '')}")
        except InputError:
            continue
        ways = {(way.text or "").strip() for way in element.findall("authentication")}
        if ways and not ways & {"password-cleartext", "plain", "OAuth2"}:
            continue
        return server, _filled(element.findtext("username") or "%EMAILADDRESS%", address)
    raise NotConfig


def _filled(text: str, address: Address) -> str:
    local = address.written.rpartition("@")[0]
    for name, value in (
        ("%EMAILADDRESS%", address.written),
        ("%EMAILLOCALPART%", local),
        ("%EMAILDOMAIN%", address.domain),
    ):
        text = text.replace(name, value)
    return text.strip()
