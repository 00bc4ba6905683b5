"""The preset file: everything is checked before anything is taken, and every mistake has its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from firstboot import intake, service
from firstboot.cleaning import FOLDER, MISTAKES
from firstboot.errors import FaultyFile
from firstboot.intake import clean_up, lacking, take_in
from firstboot.keyfiles import keyfiles
from firstboot.preset import REMOVED, read_preset
from firstboot.redacting import redact
from firstboot.settings import settings_from
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import SECRETS, MadeUp, Quick, journal_at, site_at, walk, wizard_at

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "overlay/boot/firmware/mojomail.yaml.example"
LEAST = f"keeper:\n  password: {SECRETS[0]}\n"

TEN_MISTAKES = """\
languag: en
keyboard: uk
timezone: Asia/Kolkatta
name: Ram Pur
keeper:
  password: short
network:
  kind: wifi
  wifi: {passphrase: secret}
  ethernet: {kind: serve}
link:
  kind: dongle
  dongle: {pin: 12a4}
people:
  - name: Asha
    login: root
    password: good-password-1
    accounts:
      - address: asha@gmail
  - login: ravi
    password: good-password-2
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(FaultyFile) as caught:
        read_preset(text, MadeUp())
    return caught.value.lines()


def test_the_example_is_in_order_and_says_everything() -> None:
    preset = read_preset(EXAMPLE.read_text(), MadeUp())
    settings = settings_from(preset.answers)
    assert not preset.ask
    assert settings.access_point is not None and settings.access_point.name == "Rampur Post"
    assert [len(person.accounts) for person in settings.people] == [2, 0]


def test_ten_mistakes_are_told_all_at_once_each_with_its_place() -> None:
    told = mistakes(TEN_MISTAKES)
    places = [line.split(": ")[0] for line in told]
    assert places == [
        *("mojomail.yaml:1:1", "mojomail.yaml:2:11", "mojomail.yaml:3:11", "mojomail.yaml:4:7", "mojomail.yaml:6:13"),
        *("mojomail.yaml:9:22", "mojomail.yaml:10:20", "mojomail.yaml:13:17", "mojomail.yaml:16:12"),
        "mojomail.yaml:19:18",
        "mojomail.yaml:20:5",
    ]
    assert "did you mean language?" in told[0] and "did you mean Asia/Kolkata?" in told[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "mojomail.yaml:1:5"),
        ("", "mojomail.yaml:1:1: the file has no settings"),
        ("- x\n", "mojomail.yaml:1:1: the file has no settings"),
        ("name: a\nname: b\n", "mojomail.yaml:2:1: name is given twice"),
        ("name: [a]\n", "mojomail.yaml:1:7: name is no list"),
        ("network: wifi\n", "mojomail.yaml:1:10: network needs settings such as ethernet, kind, wifi"),
        ("people: asha\n", "mojomail.yaml:1:9: people needs a list"),
        ("name: rampur\n", "mojomail.yaml: keeper.password is missing"),
        (f'keeper: {{password: "{REMOVED}"}}\n', "mojomail.yaml:1:20: the secret of keeper.password was removed"),
        ("ask: perhaps\n", "mojomail.yaml:1:6: ask is yes or no"),
        (LEAST + "extra_ca: [nothing]\n", "mojomail.yaml:3:12: extra_ca.0"),
        (LEAST + "people:\n  - name: Asha\n    login: asha\n", "mojomail.yaml:4:11: people.0.password is missing"),
        (LEAST + "network: {kind: wifi}\nlink: {kind: wifi, wifi: {name: X}}\n", "mojomail.yaml:4:14: link.kind"),
        (LEAST + "link: {wifi: {name: X}}\n", "(it needs link.kind wifi)"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    assert any(told in line for line in mistakes(text)), mistakes(text)


def test_no_secret_is_told_with_a_mistake() -> None:
    text = f"keeper:\n  password: {SECRETS[0]} ಅ\nnetwork: {{kind: wifi, wifi: {{passphrase: x{SECRETS[1] * 5}}}}}\n"
    assert not [secret for secret in SECRETS if secret in "".join(mistakes(text))]


@pytest.mark.parametrize(("written", "pin"), [("0042", "0042"), ('"1234"', "1234")])
def test_a_pin_keeps_its_noughts(written: str, pin: str) -> None:
    text = LEAST + f"link: {{kind: dongle, dongle: {{apn: jionet, pin: {written}}}}}\n"
    assert settings_from(read_preset(text, MadeUp()).answers).link.pin == pin


def put(root: Path, text: str, name: str = "mojomail.yaml") -> Path:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    (root / FOLDER / name).write_text(text)
    return root / FOLDER / name


def test_a_preset_asks_nobody_and_takes_the_rest_as_enter_would(tmp_path: Path) -> None:
    file = put(tmp_path, LEAST + "name: rampur\n")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert wizard.at == "apply" and wizard.state.unattended
    assert settings_from(wizard.answers).access_point is not None
    assert SECRETS[0] not in file.read_text() and REMOVED in file.read_text()
    assert wizard_at(tmp_path).answers.get("keeper.password") == SECRETS[0], "it is on the node by now"


def test_a_preset_that_asks_leaves_its_own_answers_out(tmp_path: Path) -> None:
    put(tmp_path, "ask: yes\nlanguage: kn\nname: rampur\nlink: {kind: none}\n")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    seen = walk(wizard, until="ready")
    assert not {"language", "name", "link.kind"} & set(seen) and "keeper.password" in seen
    assert wizard.answers.get("name") == "rampur"


def test_a_bad_preset_changes_nothing_is_shown_and_lies_beside_it_explained(tmp_path: Path) -> None:
    file = put(tmp_path, TEN_MISTAKES)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    screen = wizard.screen()
    assert screen.at == "preset" and "mojomail.yaml:1:1" in screen.lines[0].label
    assert not list(wizard.answers.leaves()) and file.read_text() == TEN_MISTAKES
    assert (tmp_path / FOLDER / MISTAKES).read_text().count("\n") == 11
    assert wizard.answer("preset", "ask") and wizard.at == "language"


def test_a_mended_preset_is_read_at_the_next_start(tmp_path: Path) -> None:
    put(tmp_path, TEN_MISTAKES)
    take_in(wizard_at(tmp_path), tmp_path)
    beside = tmp_path / FOLDER / MISTAKES
    beside.with_name(f"{MISTAKES}.new").write_bytes(b"")  # the power went while they were written another time
    put(tmp_path, LEAST)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert wizard.at == "apply" and not list(beside.parent.glob(f"{MISTAKES}*"))


def test_what_the_machine_lacks_is_told_like_a_mistake(tmp_path: Path) -> None:
    put(tmp_path, LEAST + "network: {kind: wifi}\n")
    wizard = wizard_at(tmp_path, MadeUp(radios=()))
    take_in(wizard, tmp_path)
    assert wizard.at == "preset" and "no Wi-Fi" in wizard.faults[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("link: {kind: wifi}\nnetwork: {kind: ethernet}\n", "mojomail.yaml:3:7: link.wifi.name: "),
        ("link:\n  wifi: {name: School}\n  kind: wifi\n", "mojomail.yaml:5:9: link.kind: "),
    ],
)
def test_what_enter_has_no_answer_to_is_told_with_the_place_it_belongs_to_also_beside_the_file(
    tmp_path: Path, text: str, told: str
) -> None:
    put(tmp_path, LEAST + text)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert wizard.at == "preset" and [line for line in wizard.faults if line.startswith(told)], wizard.faults
    assert (tmp_path / FOLDER / MISTAKES).read_text().splitlines() == list(wizard.faults)


def test_a_keepers_hash_is_not_outdone_by_a_password_that_nobody_knows(tmp_path: Path) -> None:
    hashed = "$5$Ub2cCGMBWj$7TyGLWWJ6bkkGLsVTiTnP7WmdfJdTLvXRZPwlyG.T62"
    put(tmp_path, f"keeper: {{hash: {hashed}}}\n")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    settings = settings_from(wizard.answers)
    assert (settings.keeper_hash, settings.keeper_password) == (hashed, "")


class Late(MadeUp):
    """A machine of which some hardware is found only after some looks at it."""

    def __init__(self, *, radios: Sequence[str], sockets: Sequence[str], first: Sequence[str]) -> None:
        super().__init__(radios=radios, sockets=sockets)
        self.looks, self._first = 0, first

    def _found(self, names: list[str]) -> list[str]:
        self.looks += 1
        return names if self.looks > 12 else [name for name in names if name in self._first]

    def radios(self) -> list[str]:
        return self._found(super().radios())

    def sockets(self) -> list[str]:
        return self._found(super().sockets())


def settle(root: Path, around: MadeUp, monkeypatch: pytest.MonkeyPatch) -> Wizard:
    """Begin as a start of the machine does, with all hardware found before the waiting is over."""
    monkeypatch.setattr(service, "HARDWARE_AGAIN", 0.0)
    setup, wizard = service.Setup(root), wizard_at(root, around)
    setup.site = site_at(root, around=around)
    setup._wait_for_hardware(wizard)
    take_in(wizard, root)
    return wizard


@pytest.mark.parametrize(
    ("text", "around"),
    [
        ("network: {kind: wifi}\n", Late(radios=["wlan0"], sockets=["eth0"], first=["eth0"])),
        ("network: {kind: wifi}\nlink: {kind: none}\n", Late(radios=["wlan0"], sockets=[], first=[])),
        (
            "network: {kind: ethernet}\nlink: {kind: ethernet}\n",
            Late(radios=[], sockets=["eth0", "eth1"], first=["eth0"]),
        ),
    ],
)
def test_a_right_preset_waits_for_hardware_that_is_found_late(
    tmp_path: Path, text: str, around: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, LEAST + text)
    wizard = settle(tmp_path, around, monkeypatch)
    assert wizard.at == "apply", wizard.faults


class Started:
    """A start of the machine at which hardware that a file asks for is not there in time: the screen tells so.

    around  the hardware that there is; `then` is what happens at the screen
    """

    def __init__(self, root: Path, text: str, around: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "HARDWARE", 0.0)
        monkeypatch.setattr(service, "LATE_AGAIN", 0.01)
        monkeypatch.setattr(service.Setup, "_work", lambda setup, wizard, network: None)
        monkeypatch.setattr(service.Setup, "_run_text", lambda setup, wizard, *rest: self._sit(wizard))
        put(root, LEAST + text)
        self.around, self.then = around, list[Callable[[Wizard], object]]()
        self._setup = service.Setup(root)
        self._setup.site, self._setup.journal = site_at(root, around=around), journal_at(root)

    def _sit(self, wizard: Wizard) -> None:
        """Somebody sits at the screen, and does one thing after another."""
        late = [thread for thread in threading.enumerate() if thread.name == "late"]
        assert late
        for act in self.then:
            act(wizard)
        for thread in late:
            thread.join(10)
        assert not [thread for thread in late if thread.is_alive()]

    def run(self) -> Wizard:
        """From the power-on to where it stands afterwards."""
        wizard = self._setup.begin()
        assert wizard.at == "preset"
        self._setup.run(wizard, text=True, phone=False)
        return wizard


TWO_SOCKETS = "network: {kind: ethernet}\nlink: {kind: ethernet}\n"


@pytest.mark.parametrize(
    ("text", "found"), [(TWO_SOCKETS, {"socket": "eth1"}), ("link: {kind: ethernet}\n", {"radio": "wlan0"})]
)
def test_a_preset_is_taken_when_its_hardware_comes_after_all(
    text: str, found: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Started(tmp_path, text, MadeUp(radios=[], sockets=["eth0"]), monkeypatch)
    beside = tmp_path / FOLDER / MISTAKES
    started.then = [lambda wizard: beside.stat(), lambda wizard: started.around.find(**found)]
    wizard = started.run()
    assert wizard.at == "apply", wizard.faults
    assert not beside.exists()


def test_late_hardware_takes_no_answer_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = Started(tmp_path, TWO_SOCKETS, MadeUp(sockets=["eth0"]), monkeypatch)
    started.then = [
        lambda wizard: wizard.answer("preset", "ask"),
        lambda wizard: started.around.find(socket="eth1"),
    ]
    assert started.run().at == "language"


def test_what_is_wrong_without_hardware_stays_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = Started(tmp_path, f"{TWO_SOCKETS}langage: en\n", MadeUp(sockets=["eth0"]), monkeypatch)
    started.then = [lambda wizard: started.around.find(socket="eth1")]
    wizard = started.run()
    assert wizard.at == "preset"
    assert [line for line in wizard.faults if "langage" in line] == list(wizard.faults)


def test_what_the_node_would_choose_waits_for_hardware_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, LEAST)
    wizard = settle(tmp_path, Late(radios=["wlan0"], sockets=["eth0"], first=["eth0"]), monkeypatch)
    assert wizard.answers.get("network.kind") == "wifi"


@pytest.mark.parametrize(
    "text",
    [
        *("langage: en\n", LEAST + "ask: yes\n", LEAST + "network: {kind: ethernet}\nlink: {kind: none}\n"),
        LEAST + "network: {kind: ethernet}\nlink: {kind: wifi}\n",
    ],
)
def test_nothing_is_waited_for_that_would_change_nothing(tmp_path: Path, text: str) -> None:
    put(tmp_path, text)
    assert not lacking(wizard_at(tmp_path), tmp_path)


USER_DATA = """\
#cloud-config
hostname: Rampur
manage_etc_hosts: true
packages:
- avahi-daemon
apt:
  conf: |
    Acquire {
      Check-Date "false";
    };
timezone: Asia/Kolkata
keyboard:
  model: pc105
  layout: "gb"
enable_ssh: true
users:
- name: asha
  groups: users,adm
  shell: /bin/bash
  lock_passwd: false
  passwd: $5$Ub2cCGMBWj$7TyGLWWJ6bkkGLsVTiTnP7WmdfJdTLvXRZPwlyG.T62
  ssh_authorized_keys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBsomekey asha@laptop
  sudo: ALL=(ALL) NOPASSWD:ALL
"""
NETWORK_CONFIG = """\
network:
  version: 2
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "IN"
      access-points:
        "School \\"1\\"":
          password: "5d6ba1ee9d4a9d7a6f8d8a4ac0d3b3d8e5d3a8c0a2f0a9f3c7bb7dfc1a5b9e01"
      optional: true
"""
PSK = "5d6ba1ee9d4a9d7a6f8d8a4ac0d3b3d8e5d3a8c0a2f0a9f3c7bb7dfc1a5b9e01"


def test_what_raspberry_pi_imager_writes_is_honoured_and_its_secrets_go(tmp_path: Path) -> None:
    user = put(tmp_path, USER_DATA, "user-data")
    network = put(tmp_path, NETWORK_CONFIG, "network-config")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    seen = walk(wizard)
    asked = {"keyboard", "timezone", "name", "keeper.password", "link.kind", "link.wifi.passphrase", "network.kind"}
    assert not asked & set(seen) and "language" in seen
    settings = settings_from(wizard.answers)
    assert (settings.name, settings.keyboard, settings.link.wifi) == ("rampur", "gb", 'School "1"')
    assert settings.link.passphrase == PSK and settings.keeper_hash.startswith("$5$")
    assert settings.ssh_keys == ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBsomekey asha@laptop",)
    assert "$5$" not in user.read_text() and PSK not in network.read_text()


@pytest.mark.parametrize(
    ("radios", "sockets", "settled"),
    [
        (["wlan0"], ["eth0"], {"link.kind": "wifi", "network.kind": "ethernet"}),
        (["wlan0"], [], {}),
        ([], ["eth0"], {}),
        (["wlan0", "wlan1"], [], {"link.kind": "wifi", "network.wifi.country": "IN"}),
    ],
)
def test_imagers_wifi_is_the_link_where_the_village_keeps_a_way_in(
    tmp_path: Path, radios: list[str], sockets: list[str], settled: dict[str, str]
) -> None:
    put(tmp_path, NETWORK_CONFIG, "network-config")
    around = MadeUp(radios=radios, sockets=sockets)
    wizard = wizard_at(tmp_path, around)
    assert lacking(wizard, tmp_path) == (not settled)
    take_in(wizard, tmp_path)
    asked = ("link.kind", "network.kind", "network.wifi.country")
    assert {path: value for path, value in wizard.answers.leaves() if path in asked} == settled
    walk(wizard)
    assert keyfiles(settings_from(wizard.answers), around)


def test_imagers_wifi_is_found_also_where_it_hides_its_name(tmp_path: Path) -> None:
    hidden = NETWORK_CONFIG.replace("          password:", "          hidden: true\n          password:")
    put(tmp_path, hidden, "network-config")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    walk(wizard)
    text = keyfiles(settings_from(wizard.answers), MadeUp())["mojomail-link.nmconnection"]
    assert 'ssid=School "1"\n' in text and "\nhidden=true\n" in text and PSK in text


def test_imagers_wifi_is_not_let_go_for_a_socket_that_is_found_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, NETWORK_CONFIG, "network-config")
    wizard = settle(tmp_path, Late(radios=["wlan0"], sockets=["eth0"], first=["wlan0"]), monkeypatch)
    assert wizard.answers.get("link.kind") == "wifi"


@pytest.mark.parametrize("text", ["", "hostname: [", "hostname: {a: b}\n", "users: asha\n", "\x00", "42"])
def test_strange_files_of_imager_stop_nobody(tmp_path: Path, text: str) -> None:
    put(tmp_path, text, "user-data")
    put(tmp_path, text, "network-config")
    wizard = wizard_at(tmp_path)
    intake.take_in(wizard, tmp_path)
    assert wizard.at == "language"


# ---- secrets in files that could not be taken

CLOUD_CONFIG = "#cloud-config\nusers:\n- name: asha\n  plain_text_passwd: {0}\n  lock_passwd: false\n"


def finish(wizard: Wizard) -> None:
    """Answer the rest by hand, to the end."""
    if wizard.at == "preset":
        wizard.answer("preset", "ask")
    walk(wizard)
    wizard.applied()
    wizard.tried([])
    assert wizard.answer("test", "onward")


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("mojomail.yaml", "langage: hi\nname: rampur\nkeeper:\n  password: {0}\n", "name: rampur"),
        ("mojomail.yaml", "name: rampur\nkeeper:\n  pasword: {0}\n", "name: rampur"),
        ("mojomail.yaml", "name: rampur\nkeeper: {0}\n", "name: rampur"),
        ("mojomail.yaml", "people:\n  - {{name: Asha, login: asha, pass: {0}}}\n", "name: Asha"),
        ("mojomail.yaml", "keeper: [\n  password: {0}\n", REMOVED),
        ("mojomail.yaml", "keeper:\n  password: {0}\nkeeper: {{}}\n", REMOVED),
        ("mojomail.yaml", "{0}\n", REMOVED),
        ("user-data", CLOUD_CONFIG, "lock_passwd: false"),
        ("user-data", "users: [\n  passwd: {0}\n", REMOVED),
        ("network-config", "wifis: {{eth0: {{access-points: {{}}, auth: {{password: {0}}}}}}}", "access-points"),
    ],
)
def test_a_file_that_could_not_be_taken_stays_to_be_mended_and_loses_its_secrets_at_the_end(
    tmp_path: Path, name: str, text: str, kept: str
) -> None:
    file = put(tmp_path, text.format(SECRETS[0]), name)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    before = file.read_text()
    assert SECRETS[0] in before
    if wizard.at == "preset":
        wizard.answer("preset", "ask")
    walk(wizard, until="network.kind")
    resumed = wizard_at(tmp_path)
    clean_up(resumed, tmp_path)
    assert file.read_text() == before and resumed.at == "network.kind"
    finish(resumed)
    assert SECRETS[0] not in file.read_text() and kept in file.read_text()
    assert not (tmp_path / FOLDER / MISTAKES).exists()


def test_secrets_go_before_the_end_is_marked(tmp_path: Path) -> None:
    file = put(tmp_path, f"keeper: {SECRETS[0]}\n")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    marker = tmp_path / "var/lib/mojomail/firstboot/done"
    ending, seen = wizard.ending, []

    def look() -> None:
        ending()
        seen.append((marker.exists(), SECRETS[0] in file.read_text()))

    wizard.ending = look
    finish(wizard)
    assert seen == [(False, False)] and marker.exists()


def test_imagers_files_go_too_when_the_preset_was_refused(tmp_path: Path) -> None:
    put(tmp_path, "langage: hi\n")
    network = put(tmp_path, NETWORK_CONFIG, "network-config")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    finish(wizard)
    assert PSK not in network.read_text()


def test_the_old_blocks_of_a_file_that_cannot_be_read_hold_no_secret_either(tmp_path: Path) -> None:
    file = tmp_path / "mojomail.yaml"
    file.write_bytes(b"keeper: [\n  password: " + SECRETS[0].encode() + b"\xff\n")
    disk = Olds()
    assert redact(file, disk=disk, whole=True) and not redact(file, disk=disk, whole=True)
    assert [SECRETS[0].encode() in old for old in disk.olds] == [False]
    assert REMOVED in file.read_text()


class Olds(Quick):
    """A disk that keeps what stood in a file that is replaced."""

    def __init__(self) -> None:
        self.olds: list[bytes] = []

    def rename(self, old: Path, new: Path) -> None:
        self.olds.append(new.read_bytes())
        super().rename(old, new)


# ---- files that cannot be read at all

ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: &x [*x]\n", "mojomail.yaml:1:11: this is used again by its name (write it out in each place"),
        ("keeper: &k {password: abcd-efgh-1}\nname: *k\n", "mojomail.yaml:2:7: this is used again by its name"),
        (ALIASES, "mojomail.yaml:2:10: this is used again by its name"),
        ("[" * 5000, "mojomail.yaml:1:52: settings are too deep below each other"),
        ("a: {" * 5000, "mojomail.yaml:1:201: settings are too deep below each other"),
    ],
    ids=["itself", "twice", "ever more", "deep lists", "deep maps"],
)
def test_a_file_without_end_is_a_mistake_like_another(text: str, told: str) -> None:
    assert any(line.startswith(told) for line in mistakes(text)), mistakes(text)[:3]


def unreadable(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Have the card give nothing back of one file."""
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path == file:
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)


def test_a_file_that_the_card_does_not_give_back_is_told_and_written_over_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path, LEAST)
    wizard = wizard_at(tmp_path)
    with monkeypatch.context() as broken:
        unreadable(broken, file)
        assert not lacking(wizard, tmp_path)
        take_in(wizard, tmp_path)
        assert wizard.at == "preset" and "Input/output error" in wizard.faults[0]
        finish(wizard)
    assert SECRETS[0] not in file.read_text() and REMOVED in file.read_text()


def test_a_folder_in_place_of_the_file_is_told_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "mojomail.yaml").mkdir(parents=True)
    network = put(tmp_path, NETWORK_CONFIG, "network-config")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert wizard.at == "preset" and "folder" in wizard.faults[0]
    finish(wizard)
    assert PSK not in network.read_text()
