"""What every node must be once it has come up, on whatever board and after whatever beginning."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from tests.lab.machine import Machine
from tests.lab.qemu import DISK_BYTES


@dataclass(frozen=True)
class Explained:
    """An entry of the journal that may be there, and why; `lanes` are the boards that it is known from."""

    pattern: str
    reason: str
    lanes: tuple[str, ...] = ("virt", "raspi3b")


PI = ("raspi3b",)

EXPLAINED: tuple[Explained, ...] = (
    Explained(
        r"kernel: raspberrypi-exp-gpio soc:firmware:gpio: Failed to get GPIO \d+ (config|state) .*",
        "QEMU's firmware does not answer for the GPIO expander, which is on the Pi's board beside the processor",
        PI,
    ),
    Explained(
        r"kernel: pwrseq_simple wifi-pwrseq: .*|kernel: leds-gpio leds: probe .*",
        "the Wi-Fi chip's reset and the power LED hang on that expander",
        PI,
    ),
    Explained(
        r"kernel: cpu cpu0: Cannot get clock for CPU0|kernel: raspberrypi-cpufreq raspberrypi-cpufreq: .*",
        "QEMU's firmware has no processor clock to set",
        PI,
    ),
    Explained(
        r"kernel: cdc_(subset|ether) 1-[\d.]+:\d+\.\d+: probe .*",
        "QEMU's USB network card offers itself to several drivers, and those that come late find it taken",
        PI,
    ),
    Explained(
        r"kernel: sdhost-bcm2835 \w+\.mmc: timeout waiting for hardware interrupt\.",
        "QEMU's card controller answers late when its host is busy; the driver then asks again",
        PI,
    ),
    Explained(
        r"systemd: Failed to start ModemManager\.service - Modem Manager\.",
        "on QEMU's Pi it may abort in its first second, without a word and never on virt; started again, it runs",
        PI,
    ),
    Explained(
        r"dovecot: [\w-]+: Error: conn unix:stats-writer .*: Timeout waiting for handshake response .*",
        "Dovecot gives its own processes 5 s to greet each other, which a busy host may not leave them",
    ),
    Explained(
        r"dovecot: anvil: Fatal: Failed to read configuration: fd_read\(\) failed: Interrupted system call .*"
        r"|dovecot: master: Error: service\(anvil\): command startup failed, throttling for .*",
        "a signal met that process as it read its settings, on a busy host; it is started again 2 s later",
    ),
    Explained(
        r"dovecot: master: Error: service\([\w-]+\): Initial status notification not received in 30 seconds, killing .*"
        r"|dovecot: [\w-]+: Fatal: master: service\([\w-]+\): child \d+ killed with signal 9",
        "a process that has not begun within 30 s is killed and begun again; a busy host may not leave it those",
    ),
    Explained(
        r"kernel: vc4_\w+ \w+\.\w+: .*|kernel: vc4-drm .*|kernel: bcm2835-power .*",
        "QEMU has no VideoCore IV",
        PI,
    ),
)

SECRETS = (
    "/etc/machine-id",
    "/etc/ssh/ssh_host_ed25519_key",
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/random-seed",
    "/etc/ssl/mojomail/ca.pem",
    "/etc/ssl/mojomail/node.pem",
    "/etc/roundcube/des_key",
    "/etc/credstore.encrypted/mojomail.vault-keys",
)
"""What each card makes for itself on its first boot. (NetworkManager's secret_key comes with the first link.)"""

ALIKE = {
    "/etc/shadow": "no account has a password",
    "/etc/shadow-": "no account has a password",
    "/etc/gshadow": "no group has a password",
    "/etc/gshadow-": "no group has a password",
    "/etc/ppp/chap-secrets": "the package's example, nothing but comments",
    "/etc/ppp/pap-secrets": "the package's example: names, and no secret",
    "/etc/ppp/peers/provider": "the package's example",
    "/etc/chatscripts/provider": "the package's example",
    "/var/cache/ldconfig/aux-cache": "inode numbers of libraries",
    "/etc/dbconfig-common/config": "the package's, without any password",
    "/etc/dbconfig-common/roundcube.conf": "the package's: no password, the database is a file",
    "/var/cache/debconf/passwords.dat": "questions that were not asked, and no answers",
    "/var/lib/mojomail/mojomail.db": "nobody lives there yet",
    "/var/lib/mojomail/logins.db": "nobody lives there yet",
    "/var/lib/mojomail/vault.db": "nothing is in it yet",
    "/var/lib/mojomail/state.db": "nothing has happened yet",
}
"""Files that not everybody may read, and that are the same on every card all the same: why."""

Listener = tuple[str, str, int, str]
"""Protocol, address, port and program."""

ANYBODY = ("0.0.0.0", "[::]")
LISTENING: set[Listener] = {
    *(("tcp", address, port, "nginx") for address in ANYBODY for port in (80, 443)),
    *(("tcp", address, port, "postfix") for address in ANYBODY for port in (465, 587)),
    *(("tcp", address, port, "dovecot") for address in ANYBODY for port in (993, 995)),
    # The webmail's ways, on the node itself.
    *(("tcp", address, 143, "dovecot") for address in ("127.0.0.1", "[::1]")),
    ("tcp", "127.0.0.1", 10587, "postfix"),
}
"""All that the image listens on. (For DHCP, NetworkManager reads raw packets.)"""
WIZARD: set[Listener] = {("tcp", "0.0.0.0", 8080, "python3")}
"""And until the node is set up: the wizard's pages for phones."""
SERVANTS = {"imap-login": "dovecot", "pop3-login": "dovecot", "master": "postfix"}
"""Processes that listen for a program of another name."""


PAINTED = 100_000
"""Pixels that differ from the first: the panel beside the question has them, a screen full of text has not."""
FIRST_PICTURE = 600.0
"""Seconds until the wizard's first picture, which the lab's unit for it has as well (tests/lab/machine.py)."""


def unexplained(node: Machine) -> list[str]:
    """The journal's errors since power-on that no entry of EXPLAINED covers, each as `who: message`."""
    known = [re.compile(entry.pattern) for entry in EXPLAINED if node.lane.name in entry.lanes]
    said = [f"{entry.get('SYSLOG_IDENTIFIER', '?')}: {_text(entry['MESSAGE'])}" for entry in node.journal("err")]
    return [line for line in said if not any(pattern.fullmatch(line) for pattern in known)]


def _text(message: object) -> str:
    """A message that is not UTF-8 comes as a list of bytes (systemd's Journal JSON format)."""
    return bytes(message).decode(errors="replace") if isinstance(message, list) else str(message)


def assert_up(node: Machine) -> None:
    """No unit has failed, nothing is left to start, and the journal has no error that is not explained."""
    failed = node.execute("systemctl is-system-running --wait", limit=300)
    assert failed.stdout.strip() == "running", node.succeed("systemctl --failed --no-pager; systemctl list-jobs")
    assert node.unit("ModemManager.service")["ActiveState"] == "active"
    assert unexplained(node) == []


def assert_root_has_grown(node: Machine) -> None:
    """The last partition ends with the card, and the file system with its partition; a later start finds both so."""
    name = node.succeed("lsblk -no PKNAME $(findmnt -no SOURCE /)").strip()
    disk = int(node.succeed(f"cat /sys/block/{name}/size")) * 512
    assert disk == DISK_BYTES
    root = node.succeed("basename $(findmnt -no SOURCE /)").strip()
    start, size = (int(node.succeed(f"cat /sys/block/{name}/{root}/{what}")) * 512 for what in ("start", "size"))
    assert disk - (start + size) < 1 << 20
    blocks, block_size = map(int, node.succeed("stat -f -c '%b %S' /").split())
    assert blocks * block_size > 0.93 * size, "the file system does not fill its partition"


def private_files(node: Machine) -> dict[str, str]:
    """The SHA-256 of every file that not everybody may read, and of SECRETS, by path.

    Not those of the FAT partition: they have no owner, and lie open on the card; nor Postfix's numbers of processes.
    """
    names = " ".join(SECRETS)
    listing = node.succeed(
        "{ find / -xdev -type f -size +0 ! -perm -o+r ! -path '/var/log/journal/*' ! -path '/var/spool/postfix/pid/*'"
        " -print0;"
        f" printf '%s\\0' {names}; }} | sort -zu | xargs -0 sha256sum",
        limit=120,
    )
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in listing.splitlines())}


def listeners(node: Machine) -> set[Listener]:
    """Who listens where: TCP and UDP, all addresses; a card's name is left out of the address."""
    found = set()
    for line in node.succeed("ss -H -l -n -t -u -p").splitlines():
        protocol, _, _, _, here, _, *who = line.split()
        address, _, port = here.rpartition(":")
        program = match[1] if (match := re.search(r'\("([^"]+)"', " ".join(who))) else "?"
        program = SERVANTS.get(program, program)
        found.add((protocol, re.sub(r"%\w+", "", address), int(port), program))
    return found


def assert_nobody_has_a_password(node: Machine) -> None:
    fields = [line.split(":")[1] for line in node.read_file("/etc/shadow").decode().splitlines()]
    assert set(fields) <= {"*", "!", "!*"}


def assert_picture_fits(node: Machine, size: tuple[int, int], out: Path) -> None:
    """The television has a picture of `size` pixels; it is kept. Where there is a wizard, text alone is none."""
    if node.execute("systemctl cat mojomail-firstboot.service").code == 0:
        node.wait_for_picture(FIRST_PICTURE, PAINTED)
    else:
        node.wait_for_picture()
    picture = node.screenshot(out / f"tv-{size[0]}x{size[1]}.png")
    assert struct.unpack_from(">II", picture.read_bytes(), 16) == size  # IHDR (PNG specification, 11.2.2)
