"""The settings of a profile: one table of name, type, default, check, help and environment variables.

The table is written as frozen dataclasses, one to a section, so that the rest of the code reads settings as
typed attributes (`profile.apt.mirror`). `table()` gives the same as rows, for the reader of profiles, the
generated documentation and shell completion.
"""

# setting() and section() return dataclass fields, whose defaults are immutable
# ruff: noqa: RUF009

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import valuechecks as checks

RASPBERRY_PI_FINGERPRINT = "CF8A1AF502A2AA2D763BAE7E82B129927FA3303E"
"""Of "Raspberry Pi Archive Signing Key", RSA 2048, made 2012-06-17."""


class Kind(Enum):
    """What a setting's value is."""

    TEXT = "text"
    FLAG = "yes or no"
    NUMBER = "whole number"
    PATH = "path"
    TEXTS = "list"
    MAP = "map"


@dataclass(frozen=True)
class Setting:
    """One row of the table. `check` is applied to the value, or to each item of a list."""

    name: str
    kind: Kind
    default: Any
    help: str
    check: Callable[[Any], str | None] | None
    choices: tuple[str, ...]
    environment: tuple[str, ...]
    joiner: str


def setting(
    default: Any,
    help: str,
    *,
    check: Callable[[Any], str | None] | None = None,
    choices: tuple[str, ...] = (),
    environment: str = "",
    joiner: str = " ",
) -> Any:
    """A dataclass field that is a setting.

    environment   names of the variables it becomes for stage scripts, separated by spaces
    joiner        what stands between the items of a list in that variable
    """
    row = {"help": help, "check": check, "choices": choices, "environment": tuple(environment.split())}
    return dataclasses.field(default=default, metadata={"setting": row | {"joiner": joiner}})


def section(cls: type[Any], help: str) -> Any:
    """A dataclass field that is a section of settings."""
    return dataclasses.field(default_factory=cls, metadata={"section": help})


@dataclass(frozen=True)
class AptSettings:
    mirror: str = setting(
        "",
        "Address of the Debian archive; apt's own default when not given.",
        check=checks.is_url,
        environment="MOJOMAIL_APT_MIRROR",
    )
    security_mirror: str = setting(
        "",
        "Address of the Debian security archive; apt's own default when not given.",
        check=checks.is_url,
        environment="MOJOMAIL_APT_SECURITY_MIRROR",
    )
    components: tuple[str, ...] = setting(
        ("main", "non-free-firmware"),
        "Components of the Debian archive.",
        check=checks.is_word,
        environment="MOJOMAIL_APT_COMPONENTS",
    )
    sources: tuple[str, ...] = setting(
        (),
        "More package sources, each as `deb [signed-by=KEYFILE] URL SUITE COMPONENT...`, without other options; "
        "KEYFILE is a path from the profile's directory.",
        check=checks.is_apt_source,
    )
    recommends: bool = setting(
        False,
        "Whether the packages named under `packages` bring those they recommend.",
        environment="MOJOMAIL_APT_RECOMMENDS",
    )


@dataclass(frozen=True)
class RaspiosSettings:
    archive: str = setting(
        "https://archive.raspberrypi.com/debian",
        "Address of Raspberry Pi's archive.",
        check=checks.is_url,
        environment="MOJOMAIL_RASPIOS_ARCHIVE",
    )
    key: Path | None = setting(
        None,
        "File with the archive's public key (.asc, .gpg or .pgp); "
        "when not given, `raspberrypi.gpg.key` is fetched from the archive.",
    )
    fingerprint: str = setting(
        RASPBERRY_PI_FINGERPRINT,
        "Fingerprint that the key must have; any other key is refused.",
        check=checks.is_fingerprint,
    )
    components: tuple[str, ...] = setting(
        ("main",),
        "Components of Raspberry Pi's archive.",
        check=checks.is_word,
        environment="MOJOMAIL_RASPIOS_COMPONENTS",
    )


@dataclass(frozen=True)
class PiGenSettings:
    path: Path | None = setting(None, "A pi-gen checkout (branch arm64); needed by `base: pi-gen`.")
    stages: tuple[str, ...] = setting(
        ("stage0", "stage1", "stage2"), "Which of its stages come before the profile's own.", check=checks.is_word
    )


@dataclass(frozen=True)
class SystemSettings:
    hostname: str = setting(
        "mojomail",
        "Name of the machine until the set-up gives it another.",
        check=checks.is_hostname,
        environment="TARGET_HOSTNAME",
    )
    locale: str = setting(
        "en_IN.UTF-8", "Default language and country.", check=checks.is_locale, environment="LOCALE_DEFAULT"
    )
    locales: tuple[str, ...] = setting(
        ("en_IN.UTF-8", "hi_IN.UTF-8", "kn_IN.UTF-8"),
        "All locales to generate; the default one always is.",
        check=checks.is_locale,
        environment="MOJOMAIL_LOCALES",
    )
    timezone: str = setting("Asia/Kolkata", "Time zone.", check=checks.is_timezone, environment="TIMEZONE_DEFAULT")
    ntp_servers: tuple[str, ...] = setting(
        (),
        "Servers that tell the time; Debian's when not given.",
        check=checks.is_host,
        environment="MOJOMAIL_NTP_SERVERS",
    )
    keyboard_model: str = setting(
        "pc105", "Keyboard model, as XKB names it.", check=checks.is_word, environment="MOJOMAIL_KEYBOARD_MODEL"
    )
    keyboard_keymap: str = setting(
        "us", "Keyboard layout, as XKB names it.", check=checks.is_word, environment="KEYBOARD_KEYMAP"
    )
    keyboard_layout: str = setting(
        "English (US)", "The same in the words of Debian's keyboard-configuration.", environment="KEYBOARD_LAYOUT"
    )
    wifi_country: str = setting(
        "IN", "Country whose rules for radio hold.", check=checks.is_country, environment="WPA_COUNTRY"
    )
    first_user: str = setting(
        "",
        "A user that the stages of pi-gen make; `pi` with `base: pi-gen`, otherwise none.",
        check=checks.is_user,
        environment="FIRST_USER_NAME",
    )


@dataclass(frozen=True)
class SshSettings:
    enabled: bool = setting(
        False, "Whether the ssh server runs; needs a key, as there is no password.", environment="ENABLE_SSH"
    )
    authorized_keys: tuple[str, ...] = setting(
        (),
        "Public keys that may log in, each one line as in a `.pub` file.",
        check=checks.is_public_key,
        environment="PUBKEY_SSH_FIRST_USER",
        joiner="\n",
    )


@dataclass(frozen=True)
class ImageSettings:
    boot_size: int = setting(
        256,
        "Size of the boot partition in MiB.",
        check=checks.between(64, 2048, "MiB"),
    )
    free_space: int = setting(
        200,
        "Space in MiB left free in the root file system, which grows to the card at the first boot.",
        check=checks.between(32, 16384, "MiB"),
    )
    compression_level: int = setting(
        6,
        "How hard xz tries, from 0 (fast) to 9 (small).",
        check=checks.between(0, 9),
    )


@dataclass(frozen=True)
class PublishSettings:
    url: str = setting(
        "",
        "Address of the directory that the image will be offered in, for Raspberry Pi Imager's manifest; "
        "the manifest names the local file when not given.",
        check=checks.is_url,
    )
    sign_key: str = setting(
        "",
        "The OpenPGP key that signs SHA256SUMS: id, fingerprint or mail address of a secret key in gpg's keyring.",
        check=checks.matches(
            r"(0x)?[0-9A-Fa-f]{8,64}|[^\s@/]+@[^\s@/]+", "id, fingerprint or mail address of a key that gpg has"
        ),
    )


@dataclass(frozen=True)
class Settings:
    name: str = setting(
        "",
        "Name of the profile, part of the image's name; that of the file when not given.",
        check=checks.is_name,
    )
    description: str = setting("", "One line that tells a person what this image is.")
    base: str = setting(
        "debian",
        "What the image stands on: Debian alone, Debian with Raspberry Pi's archive, or a pi-gen checkout.",
        choices=("debian", "raspios", "pi-gen"),
        environment="MOJOMAIL_BASE",
    )
    release: str = setting("trixie", "Release of Debian.", choices=("trixie",), environment="RELEASE")
    stages: tuple[str, ...] = setting(
        ("base",),
        "Stages in the order they run: a name for one in `stages/`, or a path "
        "(one with a `/` in it) from the profile's directory.",
    )
    strict: bool = setting(
        True,
        "Whether a script without run bit, or another flaw that pi-gen puts up with, is an error. With no it is a "
        "warning, and the script is skipped; the stages of a pi-gen checkout always are treated so.",
    )
    packages: tuple[str, ...] = setting((), "More packages, installed after all stages.", check=checks.is_package)
    variables: tuple[tuple[str, str], ...] = setting(
        (), "More environment variables for the scripts of the stages. Not for secrets."
    )
    apt: AptSettings = section(AptSettings, "Where packages come from.")
    raspios: RaspiosSettings = section(RaspiosSettings, "Raspberry Pi's archive, for `base: raspios`.")
    pi_gen: PiGenSettings = section(PiGenSettings, "The checkout that `base: pi-gen` builds on.")
    system: SystemSettings = section(SystemSettings, "How the machine is called, and which language it speaks.")
    ssh: SshSettings = section(SshSettings, "Logging in over the network: off unless switched on here.")
    image: ImageSettings = section(ImageSettings, "The disk image.")
    publish: PublishSettings = section(PublishSettings, "The files beside the image.")


@functools.cache
def sections() -> Mapping[str, tuple[type[Any], str]]:
    """The sections by name, each with its class and a line of help."""
    hints = typing.get_type_hints(Settings)
    found = {
        f.name: (hints[f.name], f.metadata["section"]) for f in dataclasses.fields(Settings) if "section" in f.metadata
    }
    return MappingProxyType(found)


@functools.cache
def table() -> tuple[Setting, ...]:
    """Every setting, those without a section first; `name` is dotted within a section."""
    rows = _rows(Settings, "")
    for name, (cls, _) in sections().items():
        rows += _rows(cls, name + ".")
    return tuple(rows)


def _rows(cls: type[Any], prefix: str) -> list[Setting]:
    hints = typing.get_type_hints(cls)
    return [
        Setting(name=prefix + f.name, kind=_kind(hints[f.name]), default=f.default, **f.metadata["setting"])
        for f in dataclasses.fields(cls)
        if "setting" in f.metadata
    ]


def _kind(hint: Any) -> Kind:
    kinds = {str: Kind.TEXT, bool: Kind.FLAG, int: Kind.NUMBER, Path | None: Kind.PATH, tuple[str, ...]: Kind.TEXTS}
    return kinds.get(hint, Kind.MAP)


def value_of(settings: Settings, name: str) -> Any:
    """The value of the setting with this dotted name."""
    return functools.reduce(getattr, name.split("."), settings)
