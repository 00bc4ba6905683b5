"""The preset file: all answers in advance, checked as a whole before anything is applied."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .answers import Answers
from .checks import Problem, Question, find_problem, tidy
from .errors import Fault, FaultyFile
from .keeper import is_hash
from .route import Spot, route
from .seal import is_secret
from .steps import Plan, Step, plan
from .surroundings import Surroundings
from .texts import texts
from .yamltree import Mapping as Map
from .yamltree import Node, Place, Scalar, Sequence, line_and_column, parse

FILE = "mojomail.yaml"
NAMES = re.compile(r"mojomail\.ya?ml(\.txt)?", re.IGNORECASE)
"""What such a file may be called. Windows hides the ending .txt, and FAT tells no capital from a small letter."""
LARGEST = 1_000_000
"""Bytes of a preset file."""
REMOVED = "(removed after use)"
"""What stands in the file in place of a secret that is on the node by now."""
WORDS_NOT_IN_FILE = ("more", "timezone_other", "country_other", "apn_other", "clock", "clock_time")
"""Ids of steps that only a conversation needs."""
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*")
SSH_KEY = re.compile(r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-[a-z0-9-]+@openssh\.com) [A-Za-z0-9+/=]+( .*)?")


LACKS = ("no_radio", "no_ethernet", "one_radio", "one_socket")
"""Problems of answers that want other network hardware than there is."""


class Lacking(FaultyFile):
    """Among what is wrong is that the file wants network hardware that is not there, or not yet."""


@dataclass(frozen=True)
class Preset:
    """What a preset file says; `ask`: what it does not say is asked, else taken as Enter would answer it.

    `places` is where each setting and each map of settings stands in the file.
    """

    answers: Answers
    ask: bool
    places: Mapping[str, Place]
    file: str = FILE

    def faulty(self, troubles: Iterable[tuple[str, Problem]]) -> FaultyFile:
        """What is wrong with answers, by path, told as a mistake at that place, or at the nearest that it is in."""
        say = texts("en").say
        faults, keys = [], set()
        for path, problem in troubles:
            keys.add(problem.key)
            at = self._place(path)
            faults.append(Fault(at.line, at.column, f"{path}: {say(f'problems|{problem.key}', **problem.given)}"))
        return (Lacking if keys & set(LACKS) else FaultyFile)(self.file, faults)

    def _place(self, path: str) -> Place:
        while path not in self.places:
            path = path.rpartition(".")[0]
        return self.places[path]


def schema(questions: Plan) -> dict[str, Step | None]:
    """Every key there is, by path, lists as "*"; None where there is no question behind it."""
    known: dict[str, Step | None] = {}
    for step in questions.once():
        if step.id.rpartition(".")[2] not in WORDS_NOT_IN_FILE:
            known[step.id] = step
    known |= {f"people.*.{step.id}": step for step in questions.person if step.id not in WORDS_NOT_IN_FILE}
    known |= {f"people.*.accounts.*.{step.id}": step for step in questions.account if step.id not in WORDS_NOT_IN_FILE}
    return known | {"keeper.hash": None, "extra_ca.*": None, "ssh_keys.*": None, "ask": None}


def may_be_secret(path: str) -> bool:
    """Whether what stands at a path of a preset file may be a secret: also whatever has no place, such as a misspelt
    password, or one without its key.
    """
    return is_secret(path) or re.sub(r"\.\d+(?=\.|$)", ".*", path) not in schema(plan())


class Reader:
    """Reads one preset file, and gathers all its mistakes."""

    def __init__(self, text: str, around: Surroundings, file: str = FILE, questions: Plan | None = None) -> None:
        self._text, self._around, self._file = text, around, file
        self._plan = questions or plan()
        self._known = schema(self._plan)
        self._faults: list[Fault] = []
        self._places: dict[str, Place] = {}
        self._maps: dict[str, Place] = {}
        self._answers = Answers()
        self._lacking = False

    def read(self) -> Preset:
        """The preset. Raises FaultyFile with everything that is wrong."""
        tree = parse(self._text, self._file)
        if not isinstance(tree, Map):
            raise FaultyFile(self._file, [Fault(1, 1, "the file has no settings", "see mojomail.yaml.example")])
        self._walk(tree, "", "")
        ask = self._flag(tree.get("ask"))
        self._check(ask)
        if self._faults:
            raise (Lacking if self._lacking else FaultyFile)(self._file, self._faults)
        return Preset(self._answers, ask, self._maps | self._places, self._file)

    def _fault(self, place: Place, message: str, hint: str = "") -> None:
        self._faults.append(Fault(place.line, place.column, message, hint))

    # --- The shape

    def _walk(self, node: Node, path: str, pattern: str) -> None:
        """Take what is known under a node; `pattern` is its path with lists as "*"."""
        below = {known.removeprefix(f"{pattern}." if pattern else "").split(".")[0] for known in self._below(pattern)}
        if isinstance(node, Map):
            self._maps[path] = node.place
            if below == {"*"} or not below:
                self._fault(node.place, f"{path} cannot have settings below it")
                return
            for name, value in node.items:
                self._child(name, value, path, pattern, below)
        elif isinstance(node, Sequence):
            if below != {"*"}:
                self._fault(node.place, f"{path} is no list")
                return
            for number, item in enumerate(node.items):
                self._walk(item, f"{path}.{number}", f"{pattern}.*")
        else:
            self._leaf(node, path, pattern, below)

    def _below(self, pattern: str) -> Iterator[str]:
        return (known for known in self._known if not pattern or known.startswith(f"{pattern}."))

    def _child(self, name: Scalar, value: Node, path: str, pattern: str, below: set[str]) -> None:
        if name.text not in below:
            near = difflib.get_close_matches(name.text, sorted(below), 1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(below))}"
            self._fault(name.place, f"there is no setting called {name.text[:40]}", hint)
            return
        self._walk(
            value, f"{path}.{name.text}" if path else name.text, f"{pattern}.{name.text}" if pattern else name.text
        )

    def _leaf(self, node: Scalar, path: str, pattern: str, below: set[str]) -> None:
        if f"{pattern}.*" in self._known and node.tag != "null":
            path, pattern = f"{path}.0", f"{pattern}.*"
        if pattern not in self._known:
            if node.tag == "null":
                return
            what = "a list" if below == {"*"} else f"settings such as {', '.join(sorted(below))}"
            self._fault(node.place, f"{path or 'the file'} needs {what}")
            return
        if node.tag == "null" or path == "ask":
            return
        if node.text == REMOVED:
            self._fault(node.place, f"the secret of {path} was removed after it was used", "give it again")
            return
        value = node.text
        step = self._known[pattern]
        if step is not None and step.kind == "choice" and node.tag == "bool":
            value = "none" if value.lower() in ("no", "off", "false") and "none" in step.choices else value
        self._places[path] = node.place
        self._answers = self._answers.with_answer(path, tidy(value, step.kind, step.checks) if step else value.strip())

    def _flag(self, node: Node | None) -> bool:
        if node is None:
            return False
        if isinstance(node, Scalar) and node.text.lower() in ("yes", "no", "true", "false"):
            return node.text.lower() in ("yes", "true")
        self._fault(node.place, "ask is yes or no")
        return False

    # --- The values

    def _check(self, ask: bool) -> None:
        spots = self._linked()
        asked = {spot.path: spot for spot in spots}
        for path, value in self._answers.leaves():
            if path in asked:
                self._check_value(asked[path], value)
            elif path in self._places:
                self._check_other(path, value)
        self._check_names()
        if not ask:
            self._check_missing(spots)

    def _linked(self) -> list[Spot]:
        """The questions, once lists of people are linked as a conversation links them."""
        answers = self._answers
        for index in range(answers.count("people")):
            before = f"people.{index}"
            accounts = answers.count(f"{before}.accounts")
            for number in range(accounts):
                more = "yes" if number < accounts - 1 else "no"
                answers = answers.with_answer(f"{before}.accounts.{number}.more", more)
            if not accounts:
                answers = answers.with_answer(f"{before}.accounts.0.address", "")
            more = "yes" if index < answers.count("people") - 1 else "no"
            answers = answers.with_answer(f"{before}.more", more)
        self._answers = answers

        def provider_of(address: str) -> str:
            known = self._around.provider(address, "en")
            return known.secret if known else "unknown"

        return route(self._plan, answers, provider_of)

    def _check_value(self, spot: Spot, value: str) -> None:
        step, place = spot.step, self._places.get(spot.path)
        if place is None:
            return
        choices = self._choices(step)
        if choices and "other" not in choices and value not in choices:
            near = difflib.get_close_matches(value, choices, 1)
            known = f"known: {', '.join(choices)}" if len(choices) <= 8 else ""
            self._fault(place, f"{spot.path} cannot be {value[:40]}", f"did you mean {near[0]}?" if near else known)
            return
        question = Question(value, spot.path, self._answers, self._around)
        problem = find_problem(question, optional=step.optional, checks=step.checks)
        if problem is None and value == "other":
            self._fault(place, f"{spot.path}: write what it is, in place of 'other'")
        elif problem is not None:
            hint = ""
            self._lacking |= problem.key in LACKS
            if step.checks == ("timezone",):
                near = difflib.get_close_matches(value, list(self._around.zones()), 1)
                hint = f"did you mean {near[0]}?" if near else ""
            self._fault(place, f"{spot.path}: {texts('en').say(f'problems|{problem.key}', **problem.given)}", hint)

    def _choices(self, step: Step) -> tuple[str, ...]:
        from .texts import languages

        if step.kind != "choice":
            return ()
        return languages() if step.source == "languages" else step.choices

    def _check_other(self, path: str, value: str) -> None:
        place = self._places[path]
        if path == "keeper.hash":
            if not is_hash(value):
                self._fault(place, "keeper.hash is no hash of crypt(5)", "yescrypt, SHA-512 or SHA-256")
        elif path.startswith("extra_ca."):
            if not CERTIFICATE.fullmatch(value + "\n"):
                self._fault(place, f"{path}: {texts('en').say('problems|certificate')}", "PEM, with its BEGIN line")
        elif path.startswith("ssh_keys."):
            if not SSH_KEY.fullmatch(value):
                self._fault(place, f"{path} is no public key of ssh")
        elif not path.startswith("people.") or self._answers.get(".".join([*path.split(".")[:2], "name"])):
            self._fault(place, f"{path} has no effect with the other answers", self._why(path))

    def _why(self, path: str) -> str:
        step = self._known.get(re.sub(r"\.\d+(?=\.|$)", ".*", path))
        wanted = [f"{key} {' or '.join(values)}" for key, values in step.when.items()] if step else []
        return f"it needs {', '.join(wanted)}" if wanted else ""

    def _check_missing(self, spots: list[Spot]) -> None:
        """What nobody could know if the node made it up."""
        end = Place(0, 0, 0, 0)
        if self._answers.get("keeper.password") is None and self._answers.get("keeper.hash") is None:
            self._fault(end, "keeper.password is missing", "or say ask: yes")
        for spot in spots:
            needed = spot.step.name in ("person.password", "person.login")
            if needed and spot.path.startswith("people.") and self._answers.get(spot.path) is None:
                name = self._answers.need(".".join([*spot.path.split(".")[:2], "name"]))
                if name:
                    place = self._places.get(".".join([*spot.path.split(".")[:2], "name"]), end)
                    self._fault(place, f"{spot.path} is missing", f"for {name[:40]}")

    def _check_names(self) -> None:
        end = Place(0, 0, 0, 0)
        for index in range(self._answers.count("people")):
            if not self._answers.get(f"people.{index}.name"):
                self._fault(self._maps.get(f"people.{index}", end), f"people.{index}.name is missing")


def preset_files(folder: Path) -> list[Path]:
    """What is called mojomail.yaml in a folder, or nearly so; the right name comes first. Raises OSError."""
    if not folder.is_dir():
        return []
    near = [path for path in folder.iterdir() if NAMES.fullmatch(path.name)]
    found = [path for path in near if _right(path) or not path.is_dir()]
    return sorted(found, key=lambda path: (not _right(path), path.name != FILE, path.name))


def _right(path: Path) -> bool:
    return path.name.lower() == FILE


def find_preset(folder: Path) -> Path | None:
    """The preset file in a folder: the one with the right name, or else the only one with nearly that name.

    Raises FaultyFile where nobody can tell which one is meant.
    """
    try:
        found = preset_files(folder)
    except OSError as error:
        why = f"the card does not show its files: {error.strerror}"
        raise FaultyFile(FILE, [Fault(0, 0, why, "copy them to another card")]) from None
    if not found:
        return None
    if _right(found[0]) or len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found)
    why = f"this file is not on the card, and more than one that may be meant: {names}"
    raise FaultyFile(FILE, [Fault(0, 0, why, "give the right one this name")])


def read_file(path: Path, around: Surroundings) -> Preset:
    """Read a preset file. Raises FaultyFile with everything that is wrong with it."""
    file = path.name

    def fault(what: str, hint: str, line: int = 0, column: int = 0) -> FaultyFile:
        return FaultyFile(file, [Fault(line, column, what, hint)])

    try:
        size = path.stat().st_size
        if size > LARGEST:
            what = f"this file is too large: {size / 1e6:.1f} MB, and settings have at most {LARGEST / 1e6:.0f} MB"
            raise fault(what, "copy the right file to the card")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = line_and_column(error.object[: error.start].decode("utf-8-sig"))
        raise fault("from here on this is no text in UTF-8", "save it again as UTF-8", line, column) from None
    except IsADirectoryError:
        raise fault("this is a folder, and no file", "give the file this name") from None
    except OSError as error:
        why = f"the card does not give this file back: {error.strerror}"
        raise fault(why, "copy it to the card again, or to another card") from None
    return read_preset(text, around, file)


def read_preset(text: str, around: Surroundings, file: str = FILE) -> Preset:
    """Read a preset file's text. Raises FaultyFile with everything that is wrong with it."""
    return Reader(text, around, file).read()
