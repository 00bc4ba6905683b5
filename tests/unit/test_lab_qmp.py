"""QMP, against a QEMU that is played here."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.qmp import RESTART, Qmp, QmpError

Answer = Callable[[dict[str, Any]], list[dict[str, Any]] | None]


class Played:
    """QEMU's end: `answer` gives the messages for each request, None to end. What answers repeats the request's id,
    which is not in `requests`.
    """

    def __init__(self, answer: Answer) -> None:
        self.near, self._far = socket.socketpair()
        self.requests: list[dict[str, Any]] = []
        self.torn = 0
        """How often half a command was to be forgotten."""
        self._answer = answer
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        self._far.sendall(b'{"QMP": {"version": {}}}\n')
        with self._far, self._far.makefile("rb") as lines:
            for line in lines:
                self.torn += RESTART in line
                request = json.loads(line.rpartition(RESTART)[2])
                number = request.pop("id")
                self.requests.append(request)
                is_hello = request["execute"] == "qmp_capabilities"
                messages = [{"return": {}}] if is_hello else self._answer(request)
                if messages is None:
                    self._far.shutdown(socket.SHUT_RDWR)
                    return
                sent = [message if "event" in message else {"id": number, **message} for message in messages]
                self._far.sendall("".join(json.dumps(message) + "\r\n" for message in sent).encode())


@pytest.fixture
def open_qmp() -> Iterator[Callable[[Answer], tuple[Qmp, Played]]]:
    opened: list[Qmp] = []

    def make(answer: Answer) -> tuple[Qmp, Played]:
        played = Played(answer)
        opened.append(Qmp(played.near))
        return opened[-1], played

    yield make
    for qmp in opened:
        qmp.close()


Open = Callable[[Answer], tuple[Qmp, Played]]


def test_an_answer_is_told_from_the_events_around_it(open_qmp: Open) -> None:
    qmp, _ = open_qmp(lambda _request: [{"event": "RESET"}, {"return": 7}, {"event": "STOP"}])
    assert qmp.command("any") == 7
    assert qmp.wait_for(lambda event: event["event"] == "STOP", 0, 5)
    assert [event["event"] for event in qmp.events] == ["RESET", "STOP"]


def test_arguments_are_sent_with_their_own_names(open_qmp: Open) -> None:
    qmp, played = open_qmp(lambda _request: [{"return": {}}])
    qmp.command("send-key", hold_time=5, name="x")
    assert played.requests[-1] == {"execute": "send-key", "arguments": {"hold-time": 5, "name": "x"}}


def test_what_qemu_refuses_is_raised_in_its_words(open_qmp: Open) -> None:
    qmp, _ = open_qmp(lambda _request: [{"error": {"class": "GenericError", "desc": "no such card"}}])
    with pytest.raises(QmpError, match="QMP set_link: no such card"):
        qmp.command("set_link")


def test_a_qemu_that_ended_is_said_so(open_qmp: Open) -> None:
    qmp, _ = open_qmp(lambda _request: None)
    for _ in range(2):
        with pytest.raises(QmpError, match="QEMU has ended"):
            qmp.command("any", 5)


def test_a_qemu_that_does_not_answer_is_waited_for_no_longer_than_the_limit(open_qmp: Open) -> None:
    qmp, _ = open_qmp(lambda _request: [])
    with pytest.raises(QmpError, match="no answer after 0 s"):
        qmp.command("any", 0.1)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, as at a prompt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_the_answer_to_a_command_that_was_interrupted_is_not_taken_for_the_next_ones(open_qmp: Open) -> None:
    def answer(request: dict[str, Any]) -> list[dict[str, Any]]:
        if request["execute"] == "interrupted":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return [{"return": request["execute"]}]

    qmp, _ = open_qmp(answer)
    with pytest.raises(KeyboardInterrupt):
        qmp.command("interrupted")
    assert [qmp.command(name) for name in ("one", "two")] == ["one", "two"]


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_ones(open_qmp: Open) -> None:
    late: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> list[dict[str, Any]]:
        if request["execute"] == "slow":
            late.append({"id": 2, "return": "slow"})
            return []
        return [*late, {"return": request["execute"]}]

    qmp, _ = open_qmp(answer)
    with pytest.raises(QmpError, match="no answer after 0 s"):
        qmp.command("slow", 0.1)
    assert qmp.command("next") == "next"


def test_half_a_command_is_forgotten_before_the_next(open_qmp: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    qmp, played = open_qmp(lambda request: [{"return": request["execute"]}])
    whole = qmp._connection

    class Torn:
        def sendall(self, data: bytes) -> None:
            whole.sendall(data[:20])
            raise KeyboardInterrupt

    monkeypatch.setattr(qmp, "_connection", Torn())
    with pytest.raises(KeyboardInterrupt):
        qmp.command("torn")
    monkeypatch.undo()
    assert [qmp.command(name) for name in ("one", "two")] == ["one", "two"]
    assert played.torn == 1


@pytest.mark.parametrize("error", [None, "the card is full"])
def test_a_job_ends_with_its_own_error(open_qmp: Open, error: str | None) -> None:
    name = ""

    def answer(request: dict[str, Any]) -> list[dict[str, Any]]:
        nonlocal name
        if request["execute"] == "query-jobs":
            return [{"return": [{"id": name, "status": "concluded", **({"error": error} if error else {})}]}]
        if request["execute"] != "snapshot-save":
            return [{"return": {}}]
        name = request["arguments"]["job-id"]
        states = ("created", "running", "concluded")
        return [
            {"return": {}},
            *({"event": "JOB_STATUS_CHANGE", "data": {"id": name, "status": state}} for state in states),
        ]

    qmp, played = open_qmp(answer)
    if error:
        with pytest.raises(QmpError, match=f"QMP snapshot-save: {error}"):
            qmp.job("snapshot-save", 5, tag="t")
    else:
        qmp.job("snapshot-save", 5, tag="t")
    assert played.requests[-1] == {"execute": "job-dismiss", "arguments": {"id": name}}
