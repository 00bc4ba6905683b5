"""The lab's prompt, as far as it goes without a machine."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest

from tests.lab import prompt
from tests.lab.control import ControlError
from tests.lab.dongle import Dongle
from tests.lab.farside import Internet
from tests.lab.hands import Hands
from tests.lab.machine import LabError, Machine, MachineFailure
from tests.lab.room import WizardRoom
from tests.lab.village import Place
from tests.lab.world import Wired, World

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(r"^>>> (.+)$", (ROOT / "docs/lab.md").read_text(), re.MULTILINE)


def test_a_missing_image_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prompt.main([str(tmp_path / "none.img"), "--alone"]) == 2
    said = capsys.readouterr()
    assert said.err == f"there is no image at {tmp_path / 'none.img'}: run 'make image'\n"
    assert not said.out


@pytest.mark.parametrize("size", ["1280", "x", "1280x720x3", "wide"])
def test_a_screen_is_width_x_height(size: str) -> None:
    assert prompt.screen_size("720x576") == (720, 576)
    with pytest.raises(SystemExit) as ended:
        prompt.main(["--screen", size])
    assert ended.value.code == 2


def machine(log: Path, vnc: bool = True) -> Any:
    return SimpleNamespace(
        vnc=vnc,
        vnc_port=5903,
        screen=(720, 576),
        console=SimpleNamespace(log=log),
        lane=SimpleNamespace(seconds_to_boot=90),
    )


@pytest.mark.parametrize("when", ["world", "machine"])
def test_ctrl_c_before_the_prompt_ends_it_without_a_word(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prompt, "open_world", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(prompt, "Machine", Mock(side_effect=KeyboardInterrupt))
    assert prompt.main([str(tmp_path / "x.img"), *(["--alone"] if when == "machine" else [])]) == 130
    assert capsys.readouterr() == ("", "\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise MachineFailure('false\\n  exit code 1')", "false\n  exit code 1\n"),
        ("raise LabError('no provider is called gmial')", "no provider is called gmial\n"),
        ("raise KeyboardInterrupt", "\nKeyboardInterrupt\n"),
    ],
)
def test_what_the_lab_says_stands_alone_at_the_prompt(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    prompt.Prompt({"MachineFailure": MachineFailure, "LabError": LabError}).push(line)
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("line", ["1 / 0", "assert False"])
def test_ones_own_mistake_has_its_traceback(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    prompt.Prompt({}).push(line)
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize(
    ("value", "shown"), [("one\ntwo\n", "one\ntwo\n"), ("one", "'one'\n"), (None, ""), (["a\nb"], "['a\\nb']\n")]
)
def test_text_of_several_lines_is_shown_as_it_is(value: object, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    prompt.show(value)
    assert capsys.readouterr().out == shown


def test_everything_has_its_place_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def make_socket(name: str, *_kind: int) -> socket.socket:
        asked.append(name)
        raise OSError("there is no node")

    log = tmp_path / "serial.log"
    with ExitStack() as stack:
        world: Any = SimpleNamespace(village=Place("village", make_socket, None))
        pages = prompt.open_pages(stack, world)
        prompt.announce(machine(log), 4711, pages)
        said = capsys.readouterr().out
        for place in (
            "vnc://127.0.0.1:5903",
            str(log),
            "MOJOMAIL_SEED=4711",
            "node, room, world, village, dongle",
            "Ctrl-D",
        ):
            assert place in said
        for name, scheme in (("wizard", "http"), ("webmail", "https")):
            host, port = re.findall(rf"{name} +{scheme}://([\d.]+):(\d+)/ ", said)[0]
            with socket.create_connection((host, int(port)), timeout=10) as browser:
                assert browser.recv(1) == b""
    assert asked == ["village"] * 2


def test_wizard_is_at_another_port_where_its_own_is_taken_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make_socket(_name: str, *_kind: int) -> socket.socket:
        raise OSError("there is no node")

    with socket.create_server(("127.0.0.1", 0)) as other, ExitStack() as stack:
        monkeypatch.setattr(prompt, "WIZARD", other.getsockname()[1])
        world: Any = SimpleNamespace(village=Place("village", make_socket, None))
        _, wizard = prompt.open_pages(stack, world)
        taken = other.getsockname()[1]
        assert wizard.address[1] not in (0, taken)
        (line,) = capsys.readouterr().out.splitlines()
        assert f"Port {taken} of this machine is taken" in line and f"ss -ltnp 'sport = {taken}'" in line


def test_a_boot_that_is_watched_from_the_side_never_ends_in_a_traceback() -> None:
    node = create_autospec(Machine, instance=True)
    node.name, node.is_on = "node", False
    for error in (LabError("the world has ended"), ControlError("the machine is off"), FileNotFoundError("serial.log")):
        node.wait_for_login.side_effect = error
        prompt.report_boot(node, None)


@pytest.mark.parametrize("call", [WizardRoom.enter, WizardRoom.back, WizardRoom.finish])
def test_one_at_a_television_with_nobody_behind_it_is_told_so(call: Any) -> None:
    room = WizardRoom(create_autospec(Machine, instance=True))
    room.node.execute.return_value = SimpleNamespace(stdout="")  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="neither wizard nor state screen is there"):
        call(room)


def test_pictures_of_the_screens_are_kept_where_a_text_says(tmp_path: Path) -> None:
    room = WizardRoom(create_autospec(Machine, instance=True))
    room.keep_pictures(str(tmp_path))
    room.picture("01-language")
    room.node.screenshot.assert_called_once_with(tmp_path / "01-language.png")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("is_on", "said"), [(True, "node does not come up: the boot is lost"), (False, "")])
def test_a_boot_that_is_lost_is_said_at_the_prompt(is_on: bool, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    node = create_autospec(Machine, instance=True)
    node.name, node.is_on = "node", is_on
    node.wait_for_login.side_effect = MachineFailure("the boot is lost\n  ttyAMA0 | Kernel panic")
    prompt.report_boot(node, None)
    assert capsys.readouterr().out.strip() == said


def test_a_machine_alone_has_no_webmail_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt.announce(machine(tmp_path / "serial.log", vnc=False), 1, None)
    said = capsys.readouterr().out
    assert "webmail" not in said and "world" not in said
    assert "vnc://" not in said


def test_the_internet_is_there_before_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[object] = []

    class Around:
        def __init__(self, directory: Path, *, seed: object) -> None:
            happened.append(("world", directory.is_dir(), seed))
            self.internet = create_autospec(Internet, instance=True)
            self.internet.providers.side_effect = lambda: happened.append("providers")

        def __enter__(self) -> Around:
            return self

        def __exit__(self, *_error: object) -> None:
            happened.append("gone")

    monkeypatch.setattr(prompt, "ensure_tree", lambda: happened.append("tree"))
    monkeypatch.setattr(prompt, "World", Around)
    with ExitStack() as stack:
        prompt.open_world(stack, 5)
    assert happened == ["tree", ("world", True, 5), "providers", "gone"]


def test_the_seed_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MOJOMAIL_SEED", "17")
    assert prompt.chosen_seed() == 17
    monkeypatch.delenv("MOJOMAIL_SEED")
    assert prompt.chosen_seed() != prompt.chosen_seed()
    monkeypatch.setenv("MOJOMAIL_SEED", "seventeen")
    assert prompt.main(["--alone"]) == 2
    assert capsys.readouterr().err == "MOJOMAIL_SEED is 'seventeen': give a number, or nothing\n"


@pytest.fixture
def names() -> dict[str, Any]:
    """What is at the prompt, with nothing behind it: only what there is can be called, and only as it can be."""
    world = Mock(
        spec_set=[*dir(World), "village", "uplink"],
        village=create_autospec(Place, instance=True),
        uplink=create_autospec(Wired, instance=True),
        internet=create_autospec(Internet, instance=True),
    )
    dongle = create_autospec(Dongle, instance=True)
    known = prompt.names_of(create_autospec(Machine, instance=True), world, dongle)
    assert set(known) > {"node", "room", "world", "village", "dongle"}
    return {**known, "room": create_autospec(WizardRoom, instance=True)}


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_of_the_documentation_can_be_typed(example: str, names: dict[str, Any]) -> None:
    exec(example, names)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_bundle_takes_a_path_as_text_too(kind: type[str] | type[Path], tmp_path: Path) -> None:
    log = tmp_path / "qemu.log"
    log.write_text("its last words")
    node: Any = SimpleNamespace(image=tmp_path / "none.img", seed=1, command=["qemu"], qemu_log=log, is_on=False)
    Machine.bundle(node, kind(tmp_path / "new/out"))
    assert "its last words" in (tmp_path / "new/out/qemu.txt").read_text()
    assert (tmp_path / "new/out/missing.txt").read_text() == "the machine is off\n"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_screenshot_takes_a_path_as_text_too(kind: type[str] | type[Path], tmp_path: Path) -> None:
    qmp = Mock()
    node: Any = SimpleNamespace(check_on=lambda _what: None, _qmp=qmp)
    assert Hands.screenshot(node, kind(tmp_path / "new/tv.png")) == tmp_path / "new/tv.png"
    qmp.command.assert_called_once_with("screendump", filename=str(tmp_path / "new/tv.png"), format="png")
