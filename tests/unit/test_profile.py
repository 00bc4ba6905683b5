"""Profiles: what they read as, and that each mistake is told with its place and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebuilder.errors import InputError, ProblemsError
from imagebuilder.profile import AptSource, load_profile, resolve_profile
from imagebuilder.profiledocs import EXAMPLE, write_docs
from imagebuilder.scriptvariables import ENGINE_VARIABLES
from imagebuilder.settings import table

TREE = Path(__file__).parents[2]
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFuENb3WdH6pBI1J+kZTFIhDiLkZq51Y0h+j29ObvX7T keeper@example.org"
ECDSA = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBNtJ5zYMjbDXqsklBxb3lJCiY4OdI8Q8M+0Q4p5"
    "+otmcBI12N6cOTW1/LX4l4zpkIfhDgPnvmqbhptIOeGdjARw="
)
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "the tree"
    for name in ("base", "mail"):
        (root / "stages" / name).mkdir(parents=True)
    (root / "stages" / "install-overlay").write_text("")
    (root / "profiles" / "mine").mkdir(parents=True)
    (root / "profiles" / "mine" / "00-x").mkdir()
    return root


def problems_of(root: Path, text: str | bytes, name: str = "test.yaml") -> list[tuple[str, str, str | None]]:
    path = root / "profiles" / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProblemsError) as caught:
        load_profile(path, root=root)
    assert all(problem.path == path for problem in caught.value.problems)
    return [
        (
            f"{p.line}:{p.column}",
            p.message.replace(str(root), "ROOT"),
            p.hint.replace(str(root), "ROOT") if p.hint else None,
        )
        for p in caught.value.problems
    ]


ONE_PROBLEM = [
    # the file as a whole
    ("", "0:0", "is empty", None),
    ("# nothing but a comment\n", "0:0", "is empty", None),
    ("- base\n", "1:1", "found a list, a map of settings is right", "begin with 'stages:'"),
    ("base", "1:1", "found the text 'base', a map of settings is right", "begin with 'stages:'"),
    # YAML
    ("name: [a\n", "2:1",
     "not valid YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'", None),
    (
        "apt:\n\tmirror: x\n",
        "2:1",
        "not valid YAML: while scanning for the next token found character '\\t' that cannot start any token",
        "indent with spaces",
    ),
    ("name: *x\n", "1:7", "not valid YAML: found undefined alias 'x'", None),
    (b"name: t\nbase: \xff\n", "2:7", "not UTF-8 text", "save the file with UTF-8 encoding"),
    ("name: t\nbase: \x01\n", "2:7", "a character that YAML does not allow", None),
    ("[" * 3000, "0:0", "not valid YAML: nested too deeply", None),
    ("base: debian\nname: a\nbase: debian\n", "3:1", "key 'base' is given twice, first in line 1", "keep one of them"),
    ("apt:\n  mirror: http://a/\n  mirror: http://b/\n", "3:3", "key 'mirror' is given twice, first in line 2",
     "keep one of them"),
    # keys
    ("pakages: [vim]\n", "1:1", "unknown setting 'pakages'", "did you mean 'packages'?"),
    ("apt:\n  mirorr: http://a/\n", "2:3", "unknown setting 'apt.mirorr'", "did you mean 'mirror'?"),
    ("hostname: node\n", "1:1", "unknown setting 'hostname'", "did you mean 'system.hostname'?"),
    ("pi-gen:\n  path: /x\n", "1:1", "unknown setting 'pi-gen'", "did you mean 'pi_gen'?"),
    ("apt.mirror: http://a/\n", "1:1", "unknown setting 'apt.mirror'",
     "write 'apt:' and below it, indented, 'mirror:'"),
    ("system:\n  stages: [base]\n", "2:3", "unknown setting 'system.stages'", "it belongs outside 'system:'"),
    ("zzz: 1\n", "1:1", "unknown setting 'zzz'", None),
    # types
    ("stages: base\n", "1:9", "'stages': found the text 'base', a list of texts is right", "write [base]"),
    ("stages:\n  base: 1\n", "2:3", "'stages': found a map of keys and values, a list of texts is right", None),
    ("packages: [vim, [nano]]\n", "1:17", "'packages', item 2: found a list, text is right", None),
    ("packages: [7]\n", "1:12", "'packages', item 1: found the number '7', text is right", 'put it in quotes: "7"'),
    ("packages: ['']\n", "1:12", "'packages', item 1: is empty", None),
    ("name: 7\n", "1:7", "'name': found the number '7', text is right", 'put it in quotes: "7"'),
    ("name: [a]\n", "1:7", "'name': found a list, text is right", None),
    ("name:\nbase: debian\n", "1:6", "'name': found nothing, text is right", "give a value or remove the line"),
    ("system:\n  wifi_country: NO\n", "2:17", "'system.wifi_country': found the yes/no value 'NO', text is right",
     'put it in quotes: "NO"'),
    ("ssh:\n  enabled: 'no'\n", "2:12", "'ssh.enabled': found the text 'no', yes or no is right",
     "write it without quotes"),
    ("image:\n  boot_size: big\n", "2:14", "'image.boot_size': found the text 'big', a whole number is right", None),
    ("image:\n  boot_size: 0400\n", "2:14",
     "'image.boot_size': found the number '0400', a whole number is right", None),
    ("image:\n  boot_size: 99.5\n", "2:14",
     "'image.boot_size': found the number '99.5', a whole number is right", None),
    ("image: 300\n", "1:8", "'image': found the number '300', a map of settings is right", None),
    ("variables: [A]\n", "1:12", "'variables': found a list, a map of names and texts is right", None),
    # values
    ("base: debain\n", "1:7", "'base': 'debain' is none of debian, raspios, pi-gen", "did you mean 'debian'?"),
    ("release: bookworm\n", "1:10", "'release': 'bookworm' is none of trixie", None),
    ("name: Mail Office\n", "1:7",
     "'name': 'Mail Office' is not right: it must be up to 48 of a-z, 0-9 and -, no - first or last", None),
    ("packages: [Vim]\n", "1:12",
     "'packages[0]': 'Vim' cannot be a package's name: it must be two or more of a-z, 0-9, '+', '-' and '.'", None),
    ("packages: [vim, nano, vim]\n", "1:23", "'packages': 'vim' is given twice", "keep one of them"),
    ("image:\n  boot_size: 3\n", "2:14", "'image.boot_size': 3 is out of range: from 64 to 2048 MiB is possible", None),
    ("apt:\n  mirror: ftp://a/\n", "2:11",
     "'apt.mirror': 'ftp://a/' is not an address: it must begin with http://, https:// or file:///", None),
    ("apt:\n  mirror: https://me:secret@a/\n", "2:11",
     "'apt.mirror': an address with a password in it would be readable in the image", None),
    ("apt:\n  sources: ['deb http://a/ x main']\n", "2:13", "'apt.sources[0]': this is not a package source: "
     "it must be 'deb [signed-by=KEYFILE] URL SUITE COMPONENT...'", None),
    ("apt:\n  sources: ['deb [signed-by=no.asc] http://a/ x main']\n", "2:13",
     "'apt.sources': there is no key file no.asc", None),
    ("system:\n  timezone: Asia/Kolkatta\n", "2:13",
     "'system.timezone': there is no time zone 'Asia/Kolkatta', did you mean 'Asia/Kolkata'?", None),
    ("system:\n  locale: en_IN\n", "2:11",
     "'system.locale': 'en_IN' is not right: it must be a UTF-8 locale such as en_IN.UTF-8", None),
    ('description: "two\\nlines"\n', "1:14", "'description': must be one line, without control characters", None),
    ("raspios:\n  key: nowhere.asc\n", "2:8", "'raspios.key': there is no file ROOT/profiles/nowhere.asc", None),
    ("raspios:\n  fingerprint: CF8A\n", "2:16", "'raspios.fingerprint': 'CF8A' is not right: it must be "
     "the key's whole fingerprint, 40 or 64 hexadecimal digits", None),
    ("publish:\n  sign_key: ./k.asc\n", "2:13", "'publish.sign_key': './k.asc' is not right: it must be "
     "id, fingerprint or mail address of a key that gpg has", None),
    # ssh keys
    (f"ssh:\n  authorized_keys: ['{PRIVATE}']\n", "2:21", "'ssh.authorized_keys[0]': this is a private key, which must "
     "stay secret: give the public one, from the file that ends in .pub", None),
    (f"ssh:\n  authorized_keys:\n    - |\n      {PRIVATE}\n      b3BlbnNzaA==\n", "3:7",
     "'ssh.authorized_keys[0]': this is a private key, which must "
     "stay secret: give the public one, from the file that ends in .pub", None),
    (f"ssh:\n  authorized_keys: ['{ED25519.replace('AAAAI', 'AAAA')}']\n", "2:21",
     "'ssh.authorized_keys[0]': this ssh-ed25519 key is damaged: copy it anew, whole and in one line", None),
    ("ssh:\n  authorized_keys: ['ssh-ed25519']\n", "2:21",
     "'ssh.authorized_keys[0]': this is not an OpenSSH public key: "
     "it must be one line such as 'ssh-ed25519 AAAA... name'", None),
    ("ssh:\n  authorized_keys: ['ssh-ed25518 AAAA']\n", "2:21",
     "'ssh.authorized_keys[0]': 'ssh-ed25518' is not a type of ssh key that sshd takes, did you mean 'ssh-ed25519'?",
     None),
    ("ssh:\n  enabled: yes\n", "2:12", "'ssh.enabled': nobody could log in, as there is neither a password nor a key",
     "give a public key in 'ssh.authorized_keys'"),
    # variables
    ("variables:\n  ROOTFS_DIR: /\n", "2:3", "'ROOTFS_DIR' is set by the build itself", "use another name"),
    ("variables:\n  TARGET_HOSTNAME: a\n", "2:3", "'TARGET_HOSTNAME' comes from a setting", "set 'system.hostname'"),
    ("variables:\n  FIRST_USER_PASS: a\n", "2:3", "'FIRST_USER_PASS': no password is put into an image", None),
    ("variables:\n  A-B: a\n", "2:3",
     "'A-B' cannot be a variable's name: it must be letters, digits and '_'", None),
    ("variables:\n  A: [1]\n", "2:6", "'variables.A': found a list, text is right", None),
    # stages
    ("stages: [base, mial]\n", "1:16", "stage 'mial' does not exist: there is no directory ROOT/stages/mial",
     "did you mean 'mail'?"),
    ("stages: [zzz]\n", "1:10", "stage 'zzz' does not exist: there is no directory ROOT/stages/zzz",
     "there are: base, mail"),
    ("stages: [base, ./mien]\n", "1:16", "stage './mien' does not exist: there is no directory ROOT/profiles/mien",
     "did you mean 'mine'?"),
    ("stages: [install-overlay]\n", "1:10", "stage 'install-overlay' is no directory: ROOT/stages/install-overlay",
     "there are: base, mail"),
    ("stages: [mail, ../stages/mail]\n", "1:16", "stage '../stages/mail' has the same directory name as an earlier "
     "('mail') stage", "rename one of them, as scripts tell stages by that name"),
    # pi-gen
    ("base: pi-gen\n", "1:7", "'base: pi-gen' needs a pi-gen checkout", "set 'pi_gen: path:'"),
    ("base: pi-gen\npi_gen:\n  path: ../stages\n", "3:9",
     "'pi_gen.path': ROOT/stages is no pi-gen checkout: it has no build.sh", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"), ONE_PROBLEM, ids=[str(i) for i in range(len(ONE_PROBLEM))]
)
def test_mistake_is_told_with_its_place(
    root: Path, text: str | bytes, place: str, message: str, hint: str | None
) -> None:
    assert problems_of(root, text) == [(place, message, hint)]


def test_options_of_a_package_source_that_would_be_lost_are_told(root: Path) -> None:
    (root / "profiles" / "k.asc").write_text("")
    text = "apt:\n  sources: ['deb [arch=arm64 signed-by=k.asc trusted=yes] http://a/ x main']\n"
    hint = "give 'signed-by=KEYFILE' alone"
    assert problems_of(root, text) == [
        ("2:13", "'apt.sources': the option 'arch=arm64' is not possible here", hint),
        ("2:13", "'apt.sources': the option 'trusted=yes' is not possible here", hint),
    ]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(root: Path) -> None:
    text = "name: X\nbsae: debian\nstages: [bass]\nimage:\n  boot_size: 1\n  fre_space: 9\nssh: {enabled: maybe}\n"
    assert [place for place, _, _ in problems_of(root, text)] == ["1:7", "2:1", "3:10", "5:14", "6:3", "7:16"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(alphabet="abn: -[]{}&*!|>'\"#,\n\t%@`?1", max_size=40)
    | st.sampled_from(ONE_PROBLEM).map(lambda row: row[0])
)
def test_whatever_a_profile_holds_is_read_or_told_as_problems(root: Path, text: str | bytes) -> None:
    path = root / "profiles" / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        assert load_profile(path, root=root).name
    except ProblemsError as error:
        assert error.problems


def test_missing_file_and_directory_are_problems(root: Path) -> None:
    for path, why in ((root / "none.yaml", "No such file or directory"), (root / "profiles", "Is a directory")):
        with pytest.raises(ProblemsError, match=why):
            load_profile(path, root=root)


def test_file_name_that_cannot_be_a_profile_name(root: Path) -> None:
    [(place, message, hint)] = problems_of(root, "base: debian\n", name="My Profile.yaml")
    assert (place, hint) == ("0:0", "set 'name'")
    assert message.startswith("the file's name does not do as the profile's name: 'My Profile'")


def test_pi_gen_stage_that_does_not_exist(root: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "pi gen"
    (checkout / "stage0").mkdir(parents=True)
    (checkout / "build.sh").write_text("")
    text = f"base: pi-gen\nstages: []\npi_gen:\n  path: {checkout}\n  stages: [stage0, stag0]\n"
    message = f"'pi_gen.stages': there is no stage 'stag0' in {checkout}"
    assert problems_of(root, text) == [("5:20", message, "did you mean 'stage0'?")]


def test_settings_are_read(root: Path) -> None:
    path = root / "profiles" / "card.yaml"
    (root / "profiles" / "shop.asc").write_text("")
    path.write_text(f"""\
description: A card
stages: [base, ./mine]
packages: [vim-tiny, "libc6:arm64"]
apt:
  mirror: http://mirror.example.org/debian
  recommends: yes
  sources: ["deb [signed-by=shop.asc] https://shop.example.org/deb trixie main extra"]
raspios:
  key: shop.asc
system: {{hostname: node7, locale: kn_IN.UTF-8, locales: [hi_IN.UTF-8]}}
ssh: {{enabled: yes, authorized_keys: ["{ED25519}", "{ECDSA}"]}}
image: {{boot_size: 512, compression_level: 9}}
publish:
variables: {{ANSWER: 42, CLOCK: 08:30, FLAG: yes, ENABLE_CLOUD_INIT: "1"}}
""")
    profile = load_profile(path, root=root)
    assert profile.name == "card"
    assert profile.image_name == "mojomail-card"
    assert profile.stage_dirs == (root / "stages" / "base", root / "profiles" / "mine")
    assert profile.base_stage_dirs == (root / "stages" / "boot-debian",)
    assert profile.packages == ("vim-tiny", "libc6:arm64")
    assert profile.raspios.key == root / "profiles" / "shop.asc"
    assert profile.image.boot_size == 512
    assert profile.image.compression_level == 9
    assert profile.image.free_space == 200
    [source] = profile.apt_sources()
    key = root / "profiles" / "shop.asc"
    assert source == AptSource("https://shop.example.org/deb", "trixie", ("main", "extra"), key)
    assert str(profile.problem("packages[1]", "gone")) == f"{path}:3:22: gone"

    environment = profile.environment()
    expected = {
        "IMG_NAME": "mojomail-card",
        "RELEASE": "trixie",
        "ARCH": "arm64",
        "TARGET_HOSTNAME": "node7",
        "LOCALE_DEFAULT": "kn_IN.UTF-8",
        "MOJOMAIL_LOCALES": "kn_IN.UTF-8 hi_IN.UTF-8",
        "MOJOMAIL_BASE": "debian",
        "MOJOMAIL_APT_RECOMMENDS": "1",
        "TIMEZONE_DEFAULT": "Asia/Kolkata",
        "KEYBOARD_KEYMAP": "us",
        "KEYBOARD_LAYOUT": "English (US)",
        "FIRST_USER_NAME": "",
        "FIRST_USER_PASS": "",
        "ENABLE_SSH": "1",
        "PUBKEY_ONLY_SSH": "1",
        "PUBKEY_SSH_FIRST_USER": f"{ED25519}\n{ECDSA}",
        "WPA_COUNTRY": "IN",
        "ENABLE_CLOUD_INIT": "1",
        "ANSWER": "42",
        "CLOCK": "08:30",
        "FLAG": "yes",
    }
    assert {name: environment.get(name) for name in expected} == expected


def test_pi_gen_base_has_its_stages_and_user_and_is_never_strict(root: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "pi-gen"
    for name in ("stage0", "stage1"):
        (checkout / name).mkdir(parents=True)
    (checkout / "build.sh").write_text("")
    path = root / "profiles" / "p.yaml"
    path.write_text("base: pi-gen\npi_gen: {path: ../../pi-gen, stages: [stage0, stage1]}\n")
    profile = load_profile(path, root=root)
    assert profile.base_stage_dirs == (checkout / "stage0", checkout / "stage1")
    assert profile.environment()["FIRST_USER_NAME"] == "pi"
    assert not profile.is_strict(checkout / "stage0")
    assert profile.is_strict(root / "stages" / "base")


@pytest.mark.parametrize("name", ["village", "raspios"])
def test_shipped_profile_loads(name: str) -> None:
    profile = load_profile(TREE / "profiles" / f"{name}.yaml", root=TREE)
    assert profile.name == name
    assert not profile.ssh.enabled


def test_example_in_the_docs_loads(root: Path) -> None:
    (root / "profiles" / "school-stage").mkdir()
    path = root / "profiles" / "school.yaml"
    path.write_text(EXAMPLE)
    assert load_profile(path, root=root).image_name == "mojomail-school"


def test_docs_are_as_the_table_of_settings_says() -> None:
    written = (TREE / "docs" / "profiles.md").read_text()
    assert written == write_docs(), "run: python -m imagebuilder.profiledocs > docs/profiles.md"


def test_no_setting_sets_a_variable_of_the_engine_or_of_another_setting() -> None:
    names = [name for row in table() for name in row.environment]
    assert len(names) == len(set(names))
    assert not ENGINE_VARIABLES & set(names)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("villag", "there is no profile 'villag' in .*\n  hint: did you mean 'village'?"),
        ("zzz", "there is no profile 'zzz' in .*\n  hint: there are: raspios, village"),
        ("profiles/village.yml", "there is no profile file profiles/village.yml"),
    ],
)
def test_profile_that_does_not_exist(given: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_profile(given, TREE)


def test_profile_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    assert resolve_profile("village", TREE) == TREE / "profiles" / "village.yaml"
    path = tmp_path / "my own.yaml"
    path.write_text("base: debian\n")
    assert resolve_profile(str(path), TREE) == path
    with pytest.raises(InputError, match=r"did you mean 'my own\.yaml'"):
        resolve_profile(str(tmp_path / "myown.yaml"), TREE)
