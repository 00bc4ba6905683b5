"""The longest things that can stand on the TV's screens: real texts of the mail office, long names, all in trouble."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "node"))

from mojomail import catalogue
from mojomail.doctor.findings import SAID_LIMIT
from mojomail.providers import providers

from firstboot import actions
from firstboot.checks import CHECKS, LONGEST
from firstboot.office import Office, provider_of
from firstboot.process import Done
from firstboot.steps import Step
from firstboot.surroundings import Provider
from firstboot.texts import texts
from firstboot.work import Finding
from tests.unit.firstboot_machine import MadeUp, Programs

NODE = "rampur-gram-panchayat-post-offic"
WIFI = "Rampur Gram Panchayat Post Offic"
PASSPHRASE = "kamu-ripo-tevu-482-soda-lime-kiro-731-basu-nemo-tila-905-ravo-6"
NETWORKS = [f"Municipal Wi-Fi, Rampur West {number:03}" for number in range(12)]
NAMES = {
    "en": "Asha Lakshmi Venkatasubramanian Rao of Rampur Gram Panchayat",
    "hi": "श्रीमती आशा लक्ष्\u200dमी वेंकटसुब्रमण्यम राव, रामपुर ग्राम पंचायत",
    "kn": "ಶ್ರೀಮತಿ ಆಶಾ ಲಕ್ಷ್ಮೀ ವೆಂಕಟಸುಬ್ರಹ್ಮಣ್ಯಂ ರಾಜ್\u200cಕುಮಾರ್\u200c, ರಾಂಪುರ",
}
LOGIN = "asha-lakshmi.venkatasubramanian"
HOST = "imap.mail.rural-post-offices.karnataka.example.org"
SAID = ("[AUTHENTICATIONFAILED] Invalid credentials (Failure); see the pages of help for programs " * 4)[:SAID_LIMIT]
AID = f"mojomail account add {LOGIN} --imap '{HOST} 993 tls' --secret-fd 0 failed with exit code 1: database is locked"
FAULT = (
    "mojomail.yaml:112:9: there is no setting called people.0.accounts.1.pasword, and a network's second radio is "
    "lacking, so that link.kind cannot be wifi while network.kind is both (did you mean people.0.accounts.1.password?)"
)
FAULTS = [FAULT] * 60


def address(begin: str, domain: str) -> str:
    """A mail address of 60 letters."""
    local = f"{begin}.lakshmi.venkatasubramanian.rao.of.rampur.near.hampi"
    return f"{local[: 59 - len(domain)]}@{domain}"


def helped_most(language: str) -> str:
    """A domain whose provider needs the most words about its passwords."""
    with catalogue.speaking(language):
        asked = [one for one in providers().values() if one.domains and one.secrets[0] != "oauth2"]
        return max(asked, key=lambda one: len(one.how_to())).domains[0]


def addresses(language: str) -> list[str]:
    """Two people's, two each; the first needs most words, the others have a provider that nobody knows."""
    others = [address(begin, "panchayat.rampur.example.org") for begin in ("office", "ravi", "post")]
    return [address("asha", helped_most(language)), *others]


def answers(language: str) -> dict[str, str]:
    """Two people with two addresses each, and everything as long as it may be."""
    given = {
        "language": language,
        "keyboard": "in",
        "timezone": "other",
        "clock": "set",
        "name": NODE,
        "keeper.password": PASSPHRASE,
        "network.kind": "both",
        "network.wifi.country": "other",
        "network.wifi.name": WIFI,
        "network.wifi.passphrase": PASSPHRASE,
        "link.kind": "dongle",
        "link.dongle.apn": "other",
        "link.dongle.apn_other": "portalnmms",
        "link.wifi.name": NETWORKS[0],
    }
    listed = addresses(language)
    for person in (0, 1):
        before = f"people.{person}"
        given |= {f"{before}.name": NAMES[language], f"{before}.login": f"{LOGIN}{person}"}
        given |= {f"{before}.password": PASSPHRASE, f"{before}.more": "no" if person else "yes"}
        for account in (0, 1):
            at = f"{before}.accounts.{account}"
            given |= {f"{at}.address": listed[person * 2 + account], f"{at}.password": PASSPHRASE}
            given |= {f"{at}.imap": HOST, f"{at}.smtp": HOST, f"{at}.more": "no" if account else "yes"}
    return given


class LargeVillage(MadeUp):
    """A place with many networks, and providers as the mail office knows them."""

    def __init__(self) -> None:
        super().__init__(radios=("wlan0", "wlan1"), sockets=("eth0", "eth1"), seen=NETWORKS)

    def zones(self) -> Sequence[str]:
        return (*super().zones(), *(f"America/Argentina/Town_{number:02}" for number in range(12)))

    def provider(self, address: str, language: str) -> Provider | None:
        return provider_of(address, language)


def reasons(language: str) -> list[str]:
    """What the doctor can say of an account, as the wizard takes it over, with the longest advice there is."""
    with catalogue.speaking(language):
        advice = max((one.how_to() for one in providers().values()), key=len)
    values = {"protocol": "IMAP", "host": HOST, "port": "993", "said": SAID, "reason": SAID[:80]}
    said = []
    for key in catalogue.texts("en"):
        if key.startswith("finding.") and key not in ("finding.ok", "finding.no-link"):
            part = {"finding": key.partition(".")[2], "text": catalogue.say_in(language, key, **values)}
            told = json.dumps([{"imap": part, "smtp": part, "advice": advice}])
            verdict = Office(Programs({"mojomail account test": Done(2, told)})).try_account("a@b.in", language)
            said.append(verdict.reason)
    return sorted(said, key=len, reverse=True)


def _longest(language: str, item: str, given: Mapping[str, str]) -> Finding:
    said = texts(language)
    keys = [key for key in said.names() if key.startswith(f"test|results|{item}_")]
    result = max(keys, key=lambda key: len(said.say(key, **given))).rpartition("|")[2]
    return Finding(item, result, "trouble", given)


def findings(language: str, accounts: str = "trouble") -> list[Finding]:
    """Everything in trouble, in the longest words; with `accounts` "one", one account is, and nothing else."""
    units = ", ".join(unit.removesuffix(".service") for unit in actions.SERVICES)
    given = {"services": units, "now": "22.11.2026 14:05", "free": "480 MB", "wifi": WIFI, "n": "9"}
    found = [_longest(language, item, given) for item in ("network", "services", "clock", "card", "link")]
    if accounts == "one":
        found = [Finding(one.item, f"{one.item}_ok", "ok", given) for one in found]
    said = reasons(language)
    for number, of in enumerate(addresses(language)[: 1 if accounts == "one" else 4]):
        mend = f"people.{number // 2}.accounts.{number % 2}.password"
        found.append(Finding("account", "account_other", "trouble", {"address": of, "reason": said[number]}, mend))
    return found


def problems(step: Step, language: str) -> Iterator[str]:
    """What can be said against an answer to a question."""
    said = texts(language)
    keys = {"empty", "letters", "too_long"} if step.kind != "choice" else {"choice"}
    for check in step.checks:
        keys |= set(re.findall(r'"(\w+)"', inspect.getsource(CHECKS[check])))
    given = {"most": LONGEST, "least": 8, "day": "2026-11-01", "person": NAMES[language]}
    yield from (said.say(f"problems|{key}", **given) for key in sorted(keys) if said.has(f"problems|{key}"))
