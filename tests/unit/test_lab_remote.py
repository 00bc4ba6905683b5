"""Calls into the world: what travels, what stays and comes as a proxy, and how errors come out."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from tests.lab.links import Drops, Link
from tests.lab.processes import LabError
from tests.lab.remote import Proxy, Remote, RemoteError, answer
from tests.lab.wire import Counts
from tests.lab.world import World


class Box:
    """Something that cannot travel."""

    def __init__(self, content: str) -> None:
        self.content = content

    def read(self, times: int = 1) -> str:
        return self.content * times

    def is_me(self, other: object) -> bool:
        return other is self


class Served:
    """What is called in these tests."""

    number = 5

    def __init__(self) -> None:
        self.boxes = {"a": Box("apple"), "b": Box("beer")}
        self._secret = "not for you"

    def echo(self, *values: Any, **named: Any) -> Any:
        return (*values, named) if named else values[0] if len(values) == 1 else values

    def box(self, name: str) -> Box:
        return self.boxes[name]

    def pipe(self) -> tuple[socket.socket, socket.socket]:
        return socket.socketpair()

    def interrupted(self, result: str) -> Any:
        """Gives a method's result after Ctrl-C has ended its caller's call."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return getattr(self, result)()

    def half(self) -> int:
        return self.number

    def refuse(self) -> None:
        raise LabError("nothing is here: sudo make it")


@pytest.fixture
def remote() -> Iterator[Remote]:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=answer, args=(theirs, Served()))
    thread.start()
    made = Remote(ours, lambda: "; its last words")
    yield made
    made.close()
    thread.join(10)
    assert not thread.is_alive(), "the server must end with its caller"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, as at a prompt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def served(remote: Remote) -> Proxy:
    return remote.root


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1.5,
        "text ŧ \n \udce9",
        b"\0\xff bytes",
        [1, [2], (3, "x")],
        (1,),
        {},
        {"$bytes": "not bytes", 5: b"x", "more": {"y": (1, 2)}},
        Path("/a/b"),
        Link(rate=1.0, drops=Drops(1, 2, 3)),
        {"gmail": Counts(1, 2, 3, 4)},
        "x" * 300_000,
        os.urandom(100_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_data_comes_back_as_it_was(served: Proxy, value: object) -> None:
    assert served.echo(value) == value
    assert served.echo(value, named=value) == (value, {"named": value})


def test_attributes_items_and_methods_are_those_of_the_object(served: Proxy) -> None:
    assert served.number == 5
    assert served.boxes["b"].content == "beer"
    assert served.box("a").read(times=2) == "appleapple"
    assert "box" in dir(served) and "_secret" not in dir(served)
    assert "Served" in repr(served)


def test_an_object_is_known_again_when_it_goes_back(served: Proxy) -> None:
    box = served.box("a")
    assert box.is_me(box) is True
    assert box.is_me(served.box("b")) is False


def test_what_begins_with_an_underscore_stays_inside(served: Proxy) -> None:
    with pytest.raises(AttributeError):
        _ = served._secret


def test_an_object_of_ours_cannot_travel_inside(served: Proxy) -> None:
    with pytest.raises(TypeError, match="Box cannot travel"):
        served.echo(Box("own"))
    assert served.number == 5


def test_sockets_come_out_alive_and_are_closed_inside(served: Proxy) -> None:
    one, other = served.pipe()
    with one:
        assert not os.get_inheritable(one.fileno())
        with other:
            one.sendall(b"hello")
            assert other.recv(100) == b"hello"
        assert one.recv(100) == b"", "nobody else holds the other end"


def test_an_error_comes_out_with_its_kind_and_traceback(served: Proxy) -> None:
    with pytest.raises(RemoteError, match="KeyError: 'z'") as caught:
        served.box("z")
    assert caught.value.kind == "KeyError"
    assert "return self.boxes[name]" in caught.value.trace
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = served.nothing
    assert served.number == 5


def test_an_error_for_a_person_comes_out_as_it_is(served: Proxy) -> None:
    with pytest.raises(LabError) as caught:
        served.refuse()
    assert str(caught.value) == "nothing is here: sudo make it"


def test_threads_take_turns(served: Proxy) -> None:
    found: dict[int, object] = {}

    def ask(number: int) -> None:
        found[number] = [served.echo(number) for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number] * 20 for number in range(4)}


def test_the_end_of_the_other_side_is_said_with_its_last_words() -> None:
    ours, theirs = socket.socketpair()
    remote = Remote(ours, lambda: "; its last words")
    theirs.close()
    with pytest.raises(LabError, match="the world has ended; its last words"):
        _ = remote.root.number


@pytest.mark.parametrize("result", ["half", "pipe", "refuse"])
@pytest.mark.usefixtures("ctrl_c")
def test_the_answer_to_a_call_that_was_interrupted_is_not_taken_for_the_next_ones(served: Proxy, result: str) -> None:
    interrupted, before = served.interrupted, descriptors()
    with pytest.raises(KeyboardInterrupt):
        interrupted(result)
    assert served.echo("asked next") == "asked next"
    one, other = served.pipe()
    with one, other:
        one.sendall(b"hello")
        assert other.recv(100) == b"hello"
    assert served.number == 5, "and the served end has closed its own"
    assert descriptors() == before, "sockets that came with an answer nobody waits for are closed"


def descriptors() -> int:
    """How many this process, which is both ends, has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_request_that_was_cut_off_is_passed_over(remote: Remote) -> None:
    remote._lines.connection.sendall(b'{"id":1,"object":0,"do":"ca')
    assert remote.root.number == 5


def test_an_answer_whose_beginning_was_lost_is_passed_over() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        remote = Remote(ours)
        theirs.sendall(b'lue":{"$tuple":[1,2]},"descriptors":0}\n')
        theirs.sendall(b'\n{"id":1,"value":"whole","descriptors":0}\n')
        assert remote.root.number == "whole"
        remote.close()


def test_a_bundle_of_the_world_names_what_it_does_not_tell(tmp_path: Path) -> None:
    log = tmp_path / "world.log"
    log.write_text("its last words")
    link = Mock()
    link.state.side_effect = TypeError("not a link")
    world: Any = SimpleNamespace(log=log, seed=5, uplink=link, lan=link, dongle=link, directory=tmp_path)
    World.bundle(world, tmp_path / "out")
    assert (tmp_path / "out/links.txt").read_text().startswith("seed: 5\nuplink: TypeError: not a link\nlan: ")
