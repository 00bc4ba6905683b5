"""What Raspberry Pi Imager writes to the FAT partition: cloud-init's user-data and network-config.

Ours is no cloud-init. What is read is what Imager's own pages offer (rpi-imager, src/customization_generator.cpp):
host name, user with hashed password, ssh keys, Wi-Fi, place and keyboard. The user's password becomes the keeper's;
users there are none. What else may stand there is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .answers import Answers
from .checks import NODE_NAME
from .errors import FaultyFile
from .keeper import is_hash
from .preset import SSH_KEY
from .surroundings import Surroundings
from .texts import languages
from .yamltree import Mapping, Node, Scalar, Sequence, parse

USER_DATA, NETWORK = "user-data", "network-config"
SECRETS = frozenset(("passwd", "hashed_passwd", "plain_text_passwd", "password"))
KEYBOARDS = {"us": "us", "gb": "gb", "in": "in"}
LANGUAGE = re.compile(r"[a-z]+")
"""Of a locale, such as hi_IN.UTF-8."""


def _text(node: Node | None) -> str:
    return node.text.strip() if isinstance(node, Scalar) and node.tag != "null" else ""


def _at(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _load(path: Path) -> Node | None:
    try:
        return parse(path.read_text("utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError, FaultyFile):
        return None


def read_imager(folder: Path, around: Surroundings) -> Answers:
    """The answers that Imager has written into a folder; none where it has not, or where we could not take them."""
    answers = Answers()
    user, network = _load(folder / USER_DATA), _load(folder / NETWORK)
    for path, value in (*_from_user_data(user, around), *_from_network(network, around)):
        answers = answers.with_answer(path, value)
    return answers


def _from_user_data(tree: Node | None, around: Surroundings) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def take(path: str, value: str, good: Callable[[str], object]) -> None:
        if value and good(value):
            found.append((path, value))

    take("name", _text(_at(tree, "hostname")).lower(), NODE_NAME.fullmatch)
    take("timezone", _text(_at(tree, "timezone")), lambda zone: zone in around.zones())
    take("keyboard", KEYBOARDS.get(_text(_at(tree, "keyboard", "layout")), ""), bool)
    language = LANGUAGE.match(_text(_at(tree, "locale")))
    take("language", language[0] if language else "", languages().__contains__)
    users = _at(tree, "users")
    keys: list[str] = []
    for one in users.items if isinstance(users, Sequence) else ():
        hashed = _text(_at(one, "passwd")) or _text(_at(one, "hashed_passwd"))
        if not any(path == "keeper.hash" for path, _ in found):
            take("keeper.hash", hashed, is_hash)
        listed = _at(one, "ssh_authorized_keys")
        keys += [_text(key) for key in (listed.items if isinstance(listed, Sequence) else ())]
    good = [key for key in dict.fromkeys(keys) if SSH_KEY.fullmatch(key)]
    return found + [(f"ssh_keys.{number}", key) for number, key in enumerate(good)]


def _access_point(tree: Node | None) -> tuple[str, str, str] | None:
    """The first Wi-Fi that Imager was given: country, name, passphrase."""
    radios = _at(_at(tree, "network") or tree, "wifis")
    for _, radio in radios.items if isinstance(radios, Mapping) else ():
        country = _text(_at(radio, "regulatory-domain")).upper()
        points = _at(radio, "access-points")
        for name, point in points.items if isinstance(points, Mapping) else ():
            return country, name.text, _text(_at(point, "password"))
    return None


def _can_link(around: Surroundings) -> bool:
    """Whether a radio can be the link, and the village still has a way in: by cable, or by another radio."""
    radios = len(around.radios())
    return radios > 1 or (radios == 1 and bool(around.sockets()))


def _from_network(tree: Node | None, around: Surroundings) -> list[tuple[str, str]]:
    point = _access_point(tree)
    if point is None or not _can_link(around):
        return []
    country, name, passphrase = point
    found = [("link.kind", "wifi"), ("link.wifi.name", name), ("link.wifi.passphrase", passphrase)]
    # The radio is taken by this link: the village has the cable, unless there is a second radio.
    if len(around.radios()) < 2:
        found.append(("network.kind", "ethernet"))
    elif country in around.countries():
        found.append(("network.wifi.country", country))
    return found


def imager_lacks(folder: Path, around: Surroundings) -> bool:
    """Whether Imager was given a Wi-Fi that cannot be the link with the hardware that is there, or there so far."""
    return _access_point(_load(folder / NETWORK)) is not None and not _can_link(around)
