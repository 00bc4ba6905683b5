"""Network namespaces, taps and addresses by system calls alone: what `ip netns`, `ip tuntap` and `ip address` would do.

For a process that is root of a user namespace (imagebuilder.namespace.enter). A namespace belongs to a thread: only
what the thread does next, and the sockets and children that it makes, is inside of it (network_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.lab.processes import LabError

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NO_PI = 0x0001, 0x0002, 0x1000
SIOCADDRT = 0x890B
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP = 1
RTF_UP, RTF_GATEWAY = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def current() -> int:
    """A descriptor of the calling thread's network namespace; the namespace lives as long as it is open."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def leave() -> None:
    """Put the calling thread into a new, empty network namespace, with its loopback up and no forwarding."""
    _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    set_up("lo")


def create() -> int:
    """A new network namespace; the calling thread stays where it is. Returns a descriptor of it."""
    made: list[int | OSError] = []

    def make() -> None:
        try:
            leave()
            made.append(current())
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def enter(namespace: int) -> None:
    """Put the calling thread into a network namespace."""
    _check(_libc.setns(namespace, CLONE_NEWNET), "setns(CLONE_NEWNET)")


@contextlib.contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Let the calling thread be in a network namespace for the block."""
    before = current()
    try:
        enter(namespace)
        yield
    finally:
        enter(before)
        os.close(before)


def open_tap(name: str) -> int:
    """Make a tap interface in the calling thread's namespace; returns its descriptor, a frame a read or write.

    Raises LabError with the command that mends it when the host has no /dev/net/tun for us.
    """
    return _open(name, IFF_TAP)


def open_tun(name: str) -> int:
    """As open_tap(), for an interface without Ethernet: an IP packet a read or write."""
    return _open(name, IFF_TUN)


def _open(name: str, kind: int) -> int:
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        mend = "chmod 0666 /dev/net/tun" if isinstance(error, PermissionError) else "modprobe tun"
        raise LabError(f"/dev/net/tun cannot be opened ({error.strerror}): sudo {mend}") from None
    try:
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | IFF_NO_PI))
    except OSError:
        os.close(tap)
        raise
    return tap


def add_address(name: str, address: str) -> None:
    """Give an interface an address with its prefix length, such as `192.0.2.1/24`, and bring it up.

    On `lo`, or an alias of it such as `lo:1`, every address of the net becomes one of this host.
    """
    interface = ipaddress.IPv4Interface(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((SIOCSIFADDR, interface.ip), (SIOCSIFNETMASK, interface.netmask)):
            fcntl.ioctl(control, request, struct.pack("16s", name.encode()) + _sockaddr(value) + bytes(8))
    set_up(name)


def set_up(name: str) -> None:
    """Bring an interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), IFF_UP))


def add_default_route(gateway: str) -> None:
    """Send what is for no net of this namespace to `gateway` (struct rtentry, route(7))."""
    nowhere = ipaddress.IPv4Address(0)
    entry = struct.pack("8x") + _sockaddr(nowhere) + _sockaddr(ipaddress.IPv4Address(gateway)) + _sockaddr(nowhere)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCADDRT, (entry + struct.pack("H", RTF_UP | RTF_GATEWAY)).ljust(128, b"\0"))


def disable_ipv6() -> None:
    """Leave no IPv6 in the calling thread's namespace, so that its own chatter crosses no wire."""
    for part in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            Path(f"/proc/sys/net/ipv6/conf/{part}/disable_ipv6").write_text("1")


def _sockaddr(address: ipaddress.IPv4Address) -> bytes:
    return struct.pack("=HH", socket.AF_INET, 0) + address.packed + bytes(8)
