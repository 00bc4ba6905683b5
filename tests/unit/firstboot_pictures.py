"""Draws the TV's screens and looks at them; run by /usr/bin/python3, which has Pango and Cairo from Debian's packages.

firstboot_pictures.py audit                 faults of all screens, as JSON lines
firstboot_pictures.py draw DIRECTORY        the pictures of GOLDEN, as PNG
firstboot_pictures.py compare DIRECTORY     how far the pictures of GOLDEN are from those, as JSON
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import cairo

from firstboot.actions import CAN_WAIT
from firstboot.aside import Aside, unbroken
from firstboot.join import Join
from firstboot.journal import State
from firstboot.later import Later
from firstboot.pages import GROUPS
from firstboot.screens import Screen
from firstboot.status import Status
from firstboot.steps import plan
from firstboot.surroundings import KnownAccount
from firstboot.texts import languages, texts
from firstboot.tv.canvas import Canvas
from firstboot.tv.drawing import Painter, Spots
from firstboot.tv.editing import entry_for
from firstboot.tv.stateview import StateView
from firstboot.tv.theme import Theme
from firstboot.wizard import Wizard
from firstboot.work import Finding, Progress
from tests.unit import firstboot_worst
from tests.unit.firstboot_machine import VILLAGE, MadeUp, journal_at, walk, wizard_at

SIZES = ((1920, 1080), (1280, 720), (720, 576))
GOLDEN = (
    *(("en", (1280, 720), "link.kind"), ("hi", (720, 576), "keeper.password"), ("kn", (720, 576), "ready")),
    *(("kn", (1920, 1080), "test"), ("hi", (1280, 720), "state"), ("en", (720, 576), "state")),
)
PASSWORD = "kamu-ripo-tevu-482"
JOIN = Join("Rampur Post", PASSWORD, "https://rampur.home.arpa", "https://10.77.0.1")
STATUS = Status("down", 12, 1_800_000_000 - 7800, 7_200_000_000, 84)
NOW = 1_800_000_000
WORST_JOIN = Join(
    *(firstboot_worst.WIFI, firstboot_worst.PASSPHRASE),
    *(f"https://{firstboot_worst.NODE}.home.arpa", "https://192.168.178.123"),
)
WORST_STATUS = Status("down", 12_345, NOW - 86_400 * 123, 280_000_000, 104, secrets_left=True, left=CAN_WAIT)
TOUCH = 3.0
"""Lines that inks of two texts may share: marks below letters reach into the next line."""


class Sheet(Canvas):
    """A canvas whose texts are looked at, and whose pixels are nobody's business."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(1, 1)
        self.width, self.height = width, height


def screens(language: str, given: dict[str, str], around: MadeUp, aid: str) -> Iterator[Screen]:
    """Every screen there is up to the findings, in a language, with the answers that are given."""
    found: list[Screen] = []
    with tempfile.TemporaryDirectory() as folder:
        wizard = wizard_at(Path(folder), around)
        walk(wizard, given, until="ready", look=found.append)
        for link in ("wifi", "ethernet", "phone"):
            wizard.answer("ready", "change")
            found.append(wizard.screen())
            wizard.answer("change", "link")
            walk(wizard, given | {"link.kind": link}, until="ready", look=found.append)
        wizard.answer("ready", "start")
        for number, group in enumerate(GROUPS):
            wizard.report(Progress(GROUPS[:number], group))
            found.append(wizard.screen())
            others = ("card", "other", "office", "corrections") if group == "people" else ()
            for words in (group, *others):
                what = given["people.0.accounts.0.address"]
                can_wait = words == group and group in CAN_WAIT
                wizard.report(replace(wizard.progress, what=what, words=words, can_wait=can_wait))
                wizard.applied(aid)
                found.append(replace(wizard.screen(), at=f"trouble {group} {words}"))
                wizard.answer("trouble", "again")
        for name, listed in lists_of_findings(language).items():
            wizard.applied(left=CAN_WAIT if name.endswith("left") else ())
            found.append(wizard.screen())
            wizard.tried(listed)
            found.append(replace(wizard.screen(), at=name))
        wizard.answer("test", "onward")
        found.append(wizard.screen())
        wizard.show_faults("mojomail.yaml", firstboot_worst.FAULTS)
        found.append(wizard.screen())
        somebody = MadeUp(taken={"asha@gmail.com": "asha"}, people={"asha": "Asha"})
        menu = Later(wizard.answers, lambda password: password == "right", somebody)
        for answer in ("wrong", "right", "anew", "erase"):
            found.append(menu.screen())
            menu.answer(menu.at, answer)
        found.append(menu.screen())
        found[:0] = later_screens(wizard, Path(folder))
    yield from {(one.at, one.title, one.value, one.look, one.lines): one for one in found}.values()


def later_screens(wizard: Wizard, folder: Path) -> Iterator[Screen]:
    """What the keeper sees who changes an account."""
    long = "asha.ramachandran@panchayat.example.org"
    known = [KnownAccount(long, "asha", complete=False), KnownAccount("asha@outlook.com", "asha", by_token=True)]
    around = MadeUp(people={"asha": "Asha Ramachandran"}, accounts=known)
    for chapter in ("secret", "further"):
        start = State(answers=wizard.answers, chapter=chapter)
        later = Wizard(journal_at(folder / chapter), around, start=start)
        yield later.screen()
        later.answer("secret.address", "asha@outlook.com")
        yield later.screen()
        given = {
            "secret.address": long,
            "secret.password": PASSWORD,
            "further.address": f"second-{long}",
            "further.password": PASSWORD,
        }
        yield from shown(later, given)
        later.report(Progress((), "people"))
        yield later.screen()
        later.applied("mojomail database prepare failed with exit code 3: database is locked")
        yield later.screen()
        later.answer("trouble", "change")
        yield later.screen()
        later.answer("ready", "start")
        later.applied()
        given = {"address": f"second-{long}"}
        later.tried([Finding("link", "link_ok", "ok"), Finding("account", "account_token", "wait", given)])
        yield later.screen()
        later.tried([Finding("link", "link_ok", "ok"), Finding("account", "account_later", "wait", given)])
        yield later.screen()


def shown(wizard: Wizard, given: dict[str, str]) -> list[Screen]:
    """The screens of questions that are answered as given, or as Enter would."""
    found: list[Screen] = []
    walk(wizard, given, look=found.append)
    return found


def lists_of_findings(language: str) -> dict[str, list[Finding]]:
    return {
        "test": findings(),
        "test one": firstboot_worst.findings(language, "one"),
        "test all": firstboot_worst.findings(language),
        "test all and left": firstboot_worst.findings(language),
    }


def worst_screens(language: str) -> Iterator[Screen]:
    """Every screen with the longest things on it; each question also with the longest said against an answer."""
    around = firstboot_worst.LargeVillage()
    steps = {step.name: step for step in (*plan().once(), *plan().person, *plan().account, *plan().next)}
    for screen in screens(language, firstboot_worst.answers(language), around, firstboot_worst.AID):
        yield screen
        words = screen.at.split(".")
        name = f"{'account' if 'accounts' in words else 'person'}.{words[-1]}" if words[0] == "people" else screen.at
        if name in steps:
            yield replace(screen, problem=max(firstboot_worst.problems(steps[name], language), key=len))


def findings() -> list[Finding]:
    """What is usual on the first day: one password is wrong."""
    address = {"address": "asha@panchayat.example.org"}
    refused = {"reason": "IMAP: imap.example.org does not take the password. It said: Invalid credentials (Failure)"}
    return [
        Finding("network", "network_ok", "ok"),
        Finding("services", "services_ok", "ok"),
        Finding("clock", "clock_wait", "wait", {"now": "22.11.2026 14:05"}),
        Finding("card", "card_ok", "ok", {"free": "7.2 GB"}),
        Finding("link", "link_no_signal", "trouble"),
        Finding("account", "account_other", "trouble", address | refused, "people.0.accounts.0.password"),
        Finding("account", "account_wait", "wait", {"address": "ravi@gmail.com"}),
    ]


def aside(language: str, wifi: str = "mojomail-setup", password: str = PASSWORD) -> Aside:
    say = texts(language).say
    given = {"wifi": unbroken(wifi), "password": unbroken(password), "pin": "123 456"}
    address = "http://10.77.0.1:8080"
    rows = [("aside|wifi", given["wifi"]), ("aside|password", given["password"]), ("aside|address", address)]
    rows.append(("aside|pin", given["pin"]))
    lines = [(say(key), value) for key, value in rows]
    brief = say("keys|phone_wifi", address=address, **given)
    warning = say("keys|no_keyboard")
    return Aside(brief, say("aside|title"), lines, Join(wifi, password, "", "").qr(), warning)


def faults(canvas: Canvas, where: str) -> Iterator[str]:
    """What is wrong with the texts on a canvas."""
    safe = Theme(canvas.width, canvas.height).safe
    inked = [one for one in canvas.inked if one.ink.width]
    for number, one in enumerate(inked):
        ink = one.ink
        if ink.x < safe.x - 1 or ink.y < safe.y - 1 or ink.right > safe.right + 1 or ink.bottom > safe.bottom + 1:
            yield f"{where}: outside the safe box: {one.text}"
        if one.unknown:
            yield f"{where}: {one.unknown} letters that no font has: {one.text}"
        for other in inked[number + 1 :]:
            across = min(ink.right, other.ink.right) - max(ink.x, other.ink.x)
            down = min(ink.bottom, other.ink.bottom) - max(ink.y, other.ink.y)
            if across > TOUCH and down > TOUCH * canvas.height / 576:
                yield f"{where}: overlap by {down:.0f}: {one.text} / {other.text}"


def hidden(screen: Screen, canvas: Canvas, spots: Spots) -> Iterator[str]:
    """What cannot be chosen on a screen though it should, and what is not said first though it should."""
    safe = Theme(canvas.width, canvas.height).safe
    boxes = {what: box for box, what in spots.boxes if box.y >= safe.y and box.bottom <= safe.bottom + 1}
    count = len(screen.choices)
    most, of_more = (4, 4) if screen.lines else (8, 3)
    seen = [number for number in range(count) if number in boxes]
    if len(seen) < (count if count <= most else of_more):
        yield f"{len(seen)} choices of {count} are seen"
    if screen.look != "busy" and not {"next", *(["back"] if screen.can_go_back else [])} <= set(boxes):
        yield "a key is not named"
    shown = [one.text for one in canvas.inked]
    wrong = [line.label for line in screen.lines if line.mark == "trouble"]
    drawn = [text for text in shown if text in {line.label for line in screen.lines}]
    if screen.lines and (not drawn or (wrong and screen.look == "choice" and drawn[0] not in wrong)):
        yield "what is wrong is not said first"
    if screen.aid and screen.aid not in shown and not (canvas.width == 720 and screen.aid == firstboot_worst.AID):
        yield "what a helper needs is not told"
    if screen.qr and not {text for line in screen.lines for text in (line.label, line.value) if text} <= set(shown):
        yield "not all is said that is needed to join"


def lost(screen: Screen, canvas: Canvas) -> Iterator[str]:
    """Texts that are cut short though they have to be read to their end."""
    names = [choice.label for choice in screen.choices]
    may_be_cut = {screen.aid, *names, *(line.label for line in screen.lines), *(line.value for line in screen.lines)}
    if screen.problem and screen.look in ("text", "secret"):
        may_be_cut |= {screen.title, screen.help}  # they have been read before the answer was given
    for one in canvas.inked:
        if one.cut and (one.text not in may_be_cut or (screen.qr and one.text not in names)):
            yield f"cut short: {one.text}"


def paint(canvas: Canvas, screen: Screen, beside: Aside | None = None) -> Spots:
    beside = beside or aside(screen.language)
    return Painter(canvas).paint(screen, entry_for(screen), beside if screen.parts else Aside())


def audit() -> None:
    for language in languages():
        usual = [(screen, None) for screen in usual_screens(language)]
        beside = aside(language, firstboot_worst.WIFI, firstboot_worst.PASSPHRASE)
        listed = [*usual, *((screen, beside) for screen in worst_screens(language))]
        for size in SIZES:
            for screen, at_the_side in listed:
                canvas = Sheet(*size)
                spots = paint(canvas, screen, at_the_side)
                where = f"{language} {size[0]}x{size[1]} {screen.at}{' worst' if at_the_side else ''}"
                found = [*faults(canvas, where)]
                found += [f"{where}: {what}" for what in (*hidden(screen, canvas, spots), *lost(screen, canvas))]
                print(json.dumps({"screen": where, "texts": len(canvas.inked), "faults": found}))
            for name, join, status in (("rampur", JOIN, STATUS), (firstboot_worst.NODE, WORST_JOIN, WORST_STATUS)):
                canvas = Sheet(*size)
                StateView(canvas).paint(name, join, status, NOW, language)
                where = f"{language} {size[0]}x{size[1]} state of {name}"
                print(json.dumps({"screen": where, "texts": len(canvas.inked), "faults": list(faults(canvas, where))}))


def usual_screens(language: str) -> list[Screen]:
    """Every screen as most people see it."""
    around = MadeUp(radios=("wlan0", "wlan1"), sockets=("eth0", "eth1"), seen=["School", "Post Office", "Asha"])
    given = {"language": language, "keeper.password": PASSWORD, "network.wifi.passphrase": PASSWORD}
    given |= {"timezone": "other", "network.wifi.country": "other", "link.dongle.apn": "other", "clock": "set"}
    given |= {"link.dongle.apn_other": "portalnmms", "people.0.password": PASSWORD, "link.wifi.name": "School"}
    aid = "nmcli connection up mojomail-lan-wifi failed with exit code 4: Connection activation failed"
    found = list(screens(language, VILLAGE | given, around, aid))
    with tempfile.TemporaryDirectory() as folder:
        wizard = wizard_at(Path(folder))
        walk(wizard, {"language": language, "network.kind": "both"}, until="link.kind")
        wizard.answer("link.kind", "ethernet")
        return [*found, wizard.screen()]


def pictures() -> Iterator[tuple[str, Canvas]]:
    """The pictures that are kept."""
    for language, size, name in GOLDEN:
        canvas = Canvas(*size)
        if name == "state":
            StateView(canvas).paint("rampur", JOIN, STATUS, NOW, language)
        else:
            paint(canvas, [screen for screen in usual_screens(language) if screen.at == name][-1])
        yield f"{language}-{size[0]}x{size[1]}-{name}.png", canvas


def shrunk(surface: cairo.ImageSurface, by: int = 8) -> bytes:
    """A picture at an eighth of its size: fonts may be hinted otherwise elsewhere, places and colours may not."""
    width, height = surface.get_width() // by, surface.get_height() // by
    small = cairo.ImageSurface(cairo.FORMAT_RGB24, width, height)
    context = cairo.Context(small)
    context.scale(1 / by, 1 / by)
    context.set_source_surface(surface)
    context.get_source().set_filter(cairo.FILTER_BEST)
    context.paint()
    small.flush()
    return bytes(small.get_data())


def main() -> None:
    if sys.argv[1] == "audit":
        audit()
        return
    folder = Path(sys.argv[2])
    for name, canvas in pictures():
        if sys.argv[1] == "draw":
            canvas.surface.write_to_png(str(folder / name))
            continue
        kept = shrunk(cairo.ImageSurface.create_from_png(str(folder / name)))
        drawn = shrunk(canvas.surface)
        differences = [abs(one - other) for one, other in zip(kept, drawn, strict=True)]
        wrong = sum(difference > 48 for difference in differences) / len(differences)
        print(json.dumps({"picture": name, "mean": sum(differences) / len(differences), "wrong": wrong}))


if __name__ == "__main__":
    main()
