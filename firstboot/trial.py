"""Trying everything out: what works, what is wrong in plain words, and which answer may mend it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta

from .actions import SERVICES, Site
from .dongle import Dongle, Modem, active, may_try, pin_use, read_modem
from .keyfiles import LAN_WIFI, LINK, LINK_ROUTER, places
from .pages import CLOCK
from .settings import Account, Settings
from .status import MEGABYTE, size
from .work import Finding

LEAST_FREE = 500 * MEGABYTE
"""Bytes; below, a card is too small for a village's mail."""


class Trial:
    """Tries out what the settings say should work."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self.settings, self.site = settings, site

    def findings(self) -> list[Finding]:
        """Everything that was tried, in the order people see it."""
        link = self.link()
        online = link.mark == "ok"
        found = [self.network(), self.services(), self.clock(online), self.card(), link]
        return found + self.accounts(online)

    def _active(self, connection: str) -> bool:
        return active(self.site.runner, connection)

    def network(self) -> Finding:
        """Whether phones can join."""
        at = places(self.settings, self.site.around)
        if self.settings.access_point and not self._active(LAN_WIFI):
            return Finding("network", "network_wifi", "trouble", mend="network.kind")
        if not self.settings.access_point and not self.site.around.plugged(at.get("lan-cable", "")):
            return Finding("network", "network_cable", "trouble", mend="network.kind")
        return Finding("network", "network_ok", "ok")

    def services(self) -> Finding:
        """Whether the mail services run."""
        shown = self.site.runner("systemctl", "is-active", *SERVICES, limit=15.0).output.split()
        down = [
            unit.removesuffix(".service") for unit, state in zip(SERVICES, shown, strict=False) if state != "active"
        ]
        if down or not shown:
            return Finding("services", "services_down", "trouble", {"services": ", ".join(down) or "?"})
        return Finding("services", "services_ok", "ok")

    def clock(self, online: bool) -> Finding:
        """Whether the clock can be right."""
        now = self.site.around.now(self.settings.timezone)
        shown = {"now": now.strftime(CLOCK)}
        if now < self.site.around.image_day() - timedelta(days=1):
            return Finding("clock", "clock_old", "wait" if online else "trouble", shown, mend="clock")
        synchronised = (self.site.root / "run/systemd/timesync/synchronized").exists()
        return Finding("clock", "clock_ok" if synchronised else "clock_wait", "ok" if synchronised else "wait", shown)

    def card(self) -> Finding:
        """Whether the card has room."""
        card = os.statvfs(self.site.root)
        free = card.f_bavail * card.f_frsize
        small = free < LEAST_FREE
        return Finding("card", "card_full" if small else "card_ok", "trouble" if small else "ok", {"free": size(free)})

    def link(self) -> Finding:
        """Whether there is a way out, and if not, what is missing."""
        link = self.settings.link
        if link.kind == "none":
            return Finding("link", "link_none", "wait")
        if self._active(LINK):
            return Finding("link", "link_ok", "ok")
        around = self.site.around
        if link.kind == "dongle":
            return self._dongle()
        if link.kind == "phone":
            return Finding("link", "link_no_phone", "trouble", mend="link.kind")
        if link.kind == "wifi":
            seen = link.wifi in around.seen_networks()
            mend = "link.wifi.passphrase" if seen else "link.wifi.name"
            return Finding("link", "link_no_wifi", "trouble", {"wifi": link.wifi}, mend)
        return Finding("link", "link_no_cable", "trouble", mend="link.kind")

    def _dongle(self) -> Finding:
        if self._active(LINK_ROUTER):
            return Finding("link", "link_ok", "ok")
        modem, pin = read_modem(self.site.runner), self.settings.link.pin
        if modem and modem.wants_pin and pin and may_try(modem, pin_use(self.site, pin)):
            # The dongle was plugged in, or its card changed, after the answers came into force.
            Dongle(self.settings, self.site).bring_up()
            if self._active(LINK):
                return Finding("link", "link_ok", "ok")
            modem = read_modem(self.site.runner)
        if modem is None:
            missing = "link_no_router" if self.site.around.tethers() else "link_no_modem"
            return Finding("link", missing, "trouble", mend="link.kind")
        if re.search("sim-missing|sim-error", modem.failed):
            return Finding("link", "link_no_sim", "trouble")
        if modem.wants_puk:
            return Finding("link", "link_puk", "trouble")
        if modem.wants_pin:
            return _pin(modem)
        if modem.state in ("disabled", "enabled", "searching"):
            return Finding("link", "link_no_signal", "trouble")
        return Finding("link", "link_no_answer", "trouble", mend="link.dongle.apn")

    def accounts(self, online: bool) -> list[Finding]:
        """Each account, logged in to for real when there is a link."""
        found = []
        for account, mend in self._given():
            given = {"address": account.address}
            if not account.password:
                known = self.site.around.provider(account.address, self.settings.language)
                missing = "account_token" if known and known.secret == "oauth2" else "account_later"
                found.append(Finding("account", missing, "wait", given))
            elif not online:
                found.append(Finding("account", "account_wait", "wait", given))
            else:
                found.append(self._account(given, mend))
        return found

    def _given(self) -> Iterator[tuple[Account, str]]:
        """The accounts in question, each with the path of its password."""
        for index, person in enumerate(self.settings.people):
            for number, account in enumerate(person.accounts):
                yield account, f"people.{index}.accounts.{number}.password"
        if self.settings.further:
            yield self.settings.further, "further.password"
        if self.settings.secret:
            yield self.settings.secret, "secret.password"

    def _account(self, given: dict[str, str], mend: str) -> Finding:
        verdict = self.site.office.try_account(given["address"], self.settings.language)
        if verdict.finding == "ok":
            return Finding("account", "account_ok", "ok", given)
        if verdict.finding == "wait":
            return Finding("account", "account_wait", "wait", given)
        return Finding("account", "account_other", "trouble", given | {"reason": verdict.reason}, mend)


def _pin(modem: Modem) -> Finding:
    """What is to be done about a PIN that the SIM card wants."""
    mend = "link.dongle.pin"
    if modem.tries is None:
        return Finding("link", "link_pin", "trouble", mend=mend)
    if modem.tries <= 1:
        return Finding("link", "link_pin_last", "trouble", mend=mend)
    return Finding("link", "link_pin_left", "trouble", {"n": str(modem.tries)}, mend)
