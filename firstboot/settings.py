"""All answers as one frozen thing: what is to be in force on the node."""

from __future__ import annotations

from dataclasses import dataclass, field

from .answers import Answers
from .suggestions import zone_of


@dataclass(frozen=True)
class Account:
    """An address; `imap` and `smtp` are "" for a known provider, the secret is "" when it comes later.

    `login` is whose it is, of somebody who was there before; "" where the person is set up with it.
    """

    address: str
    imap: str = ""
    smtp: str = ""
    password: str = field(default="", repr=False)
    login: str = ""


@dataclass(frozen=True)
class Person:
    """Somebody who gets mail here."""

    name: str
    login: str
    language: str
    password: str = field(repr=False)
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True)
class AccessPoint:
    """The village's own Wi-Fi."""

    country: str
    name: str
    passphrase: str = field(repr=False)


@dataclass(frozen=True)
class Link:
    """The way out: dongle, phone, ethernet, wifi or none, with what each of them needs."""

    kind: str
    apn: str = ""
    wifi: str = ""
    pin: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)


@dataclass(frozen=True)
class Settings:
    """What is to be in force.

    ethernet  serve, join or "" for a village without cable
    secret    an account that was there before, with another secret
    further   another account of somebody who was there before
    """

    language: str
    keyboard: str
    timezone: str
    name: str
    access_point: AccessPoint | None
    ethernet: str
    link: Link
    people: tuple[Person, ...]
    secret: Account | None = None
    further: Account | None = None
    keeper_password: str = field(default="", repr=False)
    keeper_hash: str = field(default="", repr=False)
    authorities: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()


def _other(answers: Answers, path: str) -> str:
    value = answers.need(path)
    return answers.need(f"{path}_other") if value == "other" else value


def _account(answers: Answers, at: str) -> Account | None:
    if not answers.get(f"{at}.address"):
        return None
    return Account(*(answers.need(f"{at}.{what}") for what in ("address", "imap", "smtp", "password", "login")))


def _people(answers: Answers) -> tuple[Person, ...]:
    people = []
    for index in range(answers.count("people")):
        before = f"people.{index}"
        if not answers.get(f"{before}.name"):
            continue
        accounts = []
        for number in range(answers.count(f"{before}.accounts")):
            at = f"{before}.accounts.{number}"
            if account := _account(answers, at):
                accounts.append(account)
        name, login, language, password = (
            answers.need(f"{before}.{what}") for what in ("name", "login", "language", "password")
        )
        people.append(Person(name, login, language or answers.need("language"), password, tuple(accounts)))
    return tuple(people)


def _texts(answers: Answers, path: str) -> tuple[str, ...]:
    return tuple(answers.need(f"{path}.{index}") for index in range(answers.count(path)))


def settings_from(answers: Answers) -> Settings:
    """Read complete answers."""
    kind = answers.need("network.kind")
    access_point = AccessPoint(
        _other(answers, "network.wifi.country"),
        answers.need("network.wifi.name"),
        answers.need("network.wifi.passphrase"),
    )
    link = Link(
        kind=answers.get("link.kind") or "none",
        apn=_other(answers, "link.dongle.apn"),
        wifi=answers.need("link.wifi.name"),
        pin=answers.need("link.dongle.pin"),
        passphrase=answers.need("link.wifi.passphrase"),
    )
    return Settings(
        language=answers.get("language") or "en",
        keyboard=answers.get("keyboard") or "us",
        timezone=zone_of(answers),
        name=answers.get("name") or "mojomail",
        access_point=access_point if kind in ("wifi", "both") else None,
        ethernet=(answers.get("network.ethernet.kind") or "serve") if kind in ("ethernet", "both") else "",
        link=link,
        people=_people(answers),
        secret=_account(answers, "secret"),
        further=_account(answers, "further"),
        keeper_password=answers.need("keeper.password"),
        keeper_hash=answers.need("keeper.hash"),
        authorities=_texts(answers, "extra_ca"),
        ssh_keys=_texts(answers, "ssh_keys"),
    )
