"""The world around a machine, from the tests' side: an internet with far providers, a village with phones, links.

    with World(directory) as world:
        world.uplink.use("gprs")
        with Machine(image, wires=world.wires) as node: ...
        world.uplink.counts()

Everything runs in namespaces of its own (inside.py), without any right on the host, and is gone with the block or
with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab import inside, processes
from tests.lab.guest import Guest
from tests.lab.links import Link
from tests.lab.processes import LabError
from tests.lab.providers import PROVIDERS
from tests.lab.remote import Proxy, Remote
from tests.lab.village import Place
from tests.lab.wire import Counts, Fates

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 30.0
"""Seconds in which a world must be there; it takes a fraction of one."""
LINK_STATES = ("up", "down", "cut", "none", "drop")


class Wired:
    """One of the links of the machine. All it says and does holds for both directions."""

    def __init__(self, control: Proxy, names: Mapping[str, str]) -> None:
        self._control, self._names = control, names

    def use(self, link: str | Link, *, first_drop: float | None = None) -> None:
        """Be a link of this kind: `lan`, `edge`, `gprs`, `none` (links.py), or one made to measure; and be up.

        It is a new link: what was on its way over the old one is gone, and with one seed each `use` of a kind gives
        the same losses and the same drops. These may be long in coming: `gprs` has none in the first 3 minutes with
        more than a third of all seeds. With `first_drop` the first begins at a seeded point of the next so many
        seconds.
        """
        self._control.use(link, first_drop)

    def up(self, up: bool) -> None:
        """Let packets pass (True), or none (False): radio silence, in which the machine's card keeps its carrier."""
        self._control.up(up)

    def cut_after(self, *, size: int | None = None, seconds: float | None = None, seed: object) -> float:
        """Go silent at a random point within the next `size` bytes of IP, both ways together, or the next `seconds`.

        Returns the point; the same seed gives the same. The link stays cut until `up(True)`.
        """
        return float(self._control.cut_after(size=size, seconds=seconds, seed=seed))

    def state(self) -> str:
        """`up`, or why nothing passes: `down`, `cut`, `none` (the kind of link) or `drop` (one of the link's own)."""
        return str(self._control.state())

    def wait_for_state(self, state: str, limit: float) -> None:
        """Wait, at most `limit` seconds, until the link is in that state; raises TimeoutError."""
        if state not in LINK_STATES:
            raise ValueError(f"a link is never {state!r}, only: {', '.join(LINK_STATES)}")
        end = time.monotonic() + limit
        while (is_now := self.state()) != state:
            if time.monotonic() > end:
                raise TimeoutError(f"the link is still {is_now!r} and not {state!r} after {limit:.0f} s")
            time.sleep(0.05)

    def counts(self, *, by_address: bool = False) -> dict[str, Counts]:
        """Bytes of IP and packets each way, by provider's name, or by far address where it is nobody's or asked for.

        ARP and DHCP stand under "arp" and "dhcp".
        """
        counts: dict[str, Counts] = {}
        for address, numbers in self._control.counts().items():
            name = address if by_address else self._names.get(address, address)
            counts[name] = counts.get(name, Counts()) + numbers
        return counts

    def fates(self) -> Fates:
        """How many frames came through, and how many did not and why."""
        found: Fates = self._control.fates()
        return found

    def reset_counts(self) -> None:
        """Begin to count anew: what is sent from now on, and not what is on its way already."""
        self._control.reset_counts()


class World:
    """The context manager that makes and ends a world. Its log is `world.log` in `directory`.

    `router`: in the village stands a router that gives the node its address by DHCP.
    """

    def __init__(self, directory: Path, *, seed: object = None, router: bool = True) -> None:
        self.directory = directory
        self.seed = str(secrets.randbits(32) if seed is None else seed)
        self._router = router
        self._open = contextlib.ExitStack()
        self._internet: Any = None
        self._names = {
            address: provider.name for provider in PROVIDERS.values() for address in provider.addresses.values()
        }

    def __enter__(self) -> World:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def internet(self) -> Any:
        """The far providers: tests.lab.farside.Internet, by proxy, started when first asked for."""
        if self._internet is None:
            # Over a connection of its own, so that the links obey also while this one waits for a provider.
            remote = Remote(self._call(), self._last_words)
            self._open.callback(remote.close)
            self._internet = remote.root.internet(self.directory.resolve() / "internet")
        return self._internet

    def internet_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new socket in the internet's namespace, for tests that look from the far side."""
        return self.abroad.socket(family, kind)

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Let nothing pass on any link for the block, and make them all good and uncounted after it.

        In the block machine and providers are put back to what they were, so that neither hears the other half-way.
        """
        links = (self.uplink, self.lan, self.dongle)
        for link in links:
            link.up(False)
        yield
        for link in links:
            link.use("lan")
            link.reset_counts()

    def trusted_by(self, node: Guest) -> None:
        """Let a booted node trust the lab's authority, and with it the far providers, as it trusts the world's."""
        node.send_file(self.internet.authority_pem().encode(), "/etc/ssl/certs/lab.pem")
        # What update-ca-certificates(8) does, for this one alone: all take it minutes under emulation.
        node.succeed(
            "cd /etc/ssl/certs && cat lab.pem >> ca-certificates.crt"
            " && ln -sf lab.pem $(openssl x509 -hash -noout -in lab.pem).0"
        )

    def bundle(self, place: Path) -> None:
        """Leave in `place` what tells why a test failed: logs, the links' state, what they carried, the seed.

        What the world does not tell is named instead.
        """
        place.mkdir(parents=True, exist_ok=True)
        (place / "world.log").write_bytes(self.log.read_bytes())
        lines = [f"seed: {self.seed}"]
        for name, link in (("uplink", self.uplink), ("lan", self.lan), ("dongle", self.dongle)):
            try:
                lines += [f"{name}: {link.state()}, {link.fates()}"]
                lines += [f"  {far}: {counts}" for far, counts in sorted(link.counts().items())]
            except Exception as error:
                lines.append(f"{name}: {type(error).__name__}: {error}")
        (place / "links.txt").write_text("\n".join(lines) + "\n")
        for log in self.directory.glob("internet/logs/**/*"):
            with contextlib.suppress(OSError):  # one that belongs to a user of the namespace alone
                if log.is_file():
                    shutil.copy(log, place / log.name)

    def _start(self, stack: contextlib.ExitStack) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.wires: Path = stack.enter_context(processes.temporary_directory("mojo-wires-"))
        self.log = self.directory / "world.log"
        words: list[str | Path] = [sys.executable, "-m", "tests.lab.inside", self.wires, "--seed", self.seed]
        if self._router:
            words.append("--router")
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with self.log.open("wb") as log:
            self.process = processes.start(
                words,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
            )
        stack.callback(self._end)
        remote = Remote(self._call(), self._last_words)
        stack.callback(remote.close)
        self.calls = remote.root
        self._internet = None
        self.uplink = Wired(self.calls.wires["uplink"], self._names)
        self.lan = Wired(self.calls.wires["lan"], self._names)
        self.dongle = Wired(self.calls.wires["dongle"], self._names)
        self.village = Place("village", self.calls.socket, self.calls.holder)
        self.abroad = Place("internet", self.calls.socket, None)

    def _call(self) -> socket.socket:
        """A connection to the world, as soon as it takes one."""
        end = time.monotonic() + START_LIMIT
        path = self.wires / inside.SOCKET_NAME
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(path))
                return connection
            except OSError:
                connection.close()
            if self.process.poll() is not None:
                raise LabError(self._why_not())
            if time.monotonic() > end:
                raise LabError(f"the world is not there after {START_LIMIT:.0f} s{self._last_words()}")
            time.sleep(0.02)

    def _why_not(self) -> str:
        said = self.log.read_text(errors="replace").strip()
        if self.process.returncode == inside.CANNOT:
            return f"no world can be made on this host: {said.splitlines()[-1] if said else 'no reason given'}"
        return f"the world ended with exit code {self.process.returncode}{self._last_words()}"

    def _last_words(self) -> str:
        said = self.log.read_text(errors="replace").strip()
        return f"; the end of {self.log}:\n{said[-2000:]}" if said else f"; {self.log} is empty"

    def _end(self) -> None:
        """Close the world's standard input, on which its life hangs, and wait until it is gone."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        processes.end(self.process)
