"""The far side's name server and DHCP server: dnsmasq, at 192.0.2.1 on the uplink, which those behind a modem ask too.

Names it does not know do not exist (NXDOMAIN), as nothing is behind it.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping

from tests.lab import dns
from tests.lab.daemonroot import DaemonRoot
from tests.lab.processes import LabError, end

ADDRESS = "192.0.2.1"
NETWORK = "192.0.2.0/24"
MODEMS = "dongle"
"""The interface that leads to those behind a modem; where there is none, dnsmasq does without."""
START_LIMIT = 10.0
"""Seconds that dnsmasq may take to answer."""
LEASES = ("192.0.2.100", "192.0.2.150")


class Nameserver:
    """dnsmasq for the names, addresses and mail exchangers given, on one interface."""

    def __init__(self, root: DaemonRoot, interface: str, names: Mapping[str, str], exchangers: Mapping[str, str]):
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._a_name = next(iter(names))
        lines = [
            "no-resolv",
            "no-hosts",
            "bind-dynamic",
            f"interface={interface}",
            f"interface={MODEMS}",
            f"no-dhcp-interface={MODEMS}",
            "address=/#/",
            *(f"host-record={name},{address}" for name, address in names.items()),
            *(f"mx-host={domain},{name},10" for domain, name in exchangers.items()),
            f"dhcp-range={LEASES[0]},{LEASES[1]},255.255.255.0,12h",
            f"dhcp-option=option:router,{ADDRESS}",
            f"dhcp-option=option:dns-server,{ADDRESS}",
            "dhcp-authoritative",
            "no-ping",
            "log-dhcp",
            "log-facility=/var/log/dnsmasq.log",
            "dhcp-leasefile=/run/dnsmasq.leases",
            "user=root",
        ]
        self._configuration = "\n".join(lines) + "\n"

    def start(self) -> None:
        """Start it; it answers when this returns. To be called in its network. Raises LabError with its last words."""
        self._root.write("/etc/dnsmasq.conf", self._configuration)
        words = ("/usr/sbin/dnsmasq", "--conf-file=/etc/dnsmasq.conf", "--pid-file=/run/dnsmasq.pid")
        try:
            self._root.run(*words, "--test")
        except LabError as error:
            raise LabError(f"the lab's name server does not start: {error}") from None
        self._process = self._root.start(*words, "--keep-in-foreground")
        deadline = time.monotonic() + START_LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._root.logs / "dnsmasq.log").read_text(errors="replace")
                self.stop()
                raise LabError(f"the lab's name server does not start: {log[-600:].strip()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            try:
                dns.ask(asker, ADDRESS, self._a_name, limit=1.0)
            except OSError:
                return False
        return True

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            end(self._process, patience=2.0)
