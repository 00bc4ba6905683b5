"""The words and choices of each screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answers import Answers
from .join import Join
from .route import Spot
from .screens import Choice, Line, Mark, Screen
from .suggestions import others_in_reach, zone_of
from .texts import Texts, texts

if TYPE_CHECKING:
    from .wizard import Wizard

GROUPS = ("language", "name", "keeper", "network", "link", "trust", "people", "services")
"""What is set up, in this order; texts under apply.steps."""
ACCOUNTS = ("people",)
"""All of these that a change of accounts leads to."""
MOST_FAULTS = 50
MOST_MENDED = 2
"""Findings that can be mended from the screen that shows them all."""
MOST_SEEN = 3
"""Names of Wi-Fis in reach that are told."""
LONGEST_AID = 200
"""Letters of what a program said."""
WORST_FIRST: tuple[Mark, ...] = ("trouble", "running", "", "wait", "ok")
"""In which order findings are told."""
CLOCK = "%d.%m.%Y %H:%M"


def groups(wizard: Wizard) -> tuple[str, ...]:
    """What is brought into force of the answers, in this order."""
    return ACCOUNTS if wizard.accounts_only() else GROUPS


def page(wizard: Wizard, language: str = "") -> Screen:
    """The screen for where the wizard is, in the language that was chosen, or in the one that is given."""
    said = texts(language or wizard.language)
    builders = {
        "ready": _ready,
        "change": _change,
        "apply": _apply,
        "trouble": _trouble,
        "test": _test,
        "join": _join,
        "done": _join,
        "preset": _preset,
    }
    return builders[wizard.at](wizard, said) if wizard.at in builders else _question(wizard, said)


def _chapters(wizard: Wizard) -> list[str]:
    return [*(chapter.name for chapter in wizard.plan.chapters), "people", "ready"]


def _screen(wizard: Wizard, said: Texts, chapter: str, **rest: object) -> Screen:
    chapters = _chapters(wizard)
    common = {
        "at": wizard.at,
        "chapter": said.say(f"chapters|{chapter}"),
        "part": chapters.index(chapter if chapter in chapters else "people"),
        "parts": len(chapters),
        "can_go_back": wizard.before() is not None,
        "language": said.language,
    }
    return Screen(**(common | rest))  # type: ignore[arg-type]  # checked by the dataclass's own signature in tests


def filled(answers: Answers, path: str, wizard: Wizard, said: Texts) -> dict[str, str]:
    """What fills in the texts of a question: the person, the address, the time, ..."""
    parts = path.split(".")
    given = {
        "now": wizard.around.now(zone_of(answers)).strftime(CLOCK),
        "wifi": answers.need("link.wifi.name"),
        "address": f"http://{answers.get('name') or wizard.plan.step('name').default}.home.arpa",
        "people": ", ".join(people_names(answers)) or said.say("ready|nobody"),
    }
    if parts[0] == "people" and len(parts) > 2:
        person = f"people.{parts[1]}"
        count = answers.count(f"{person}.accounts")
        given |= {
            "person": answers.need(f"{person}.name"),
            "number": str(int(parts[1]) + 1),
            "addresses": ", ".join(answers.need(f"{person}.accounts.{i}.address") for i in range(count)),
        }
        if len(parts) > 4:
            given["address"] = answers.need(f"{person}.accounts.{parts[3]}.address")
    if parts[0] in ("secret", "further"):
        login = answers.need("further.login")
        given |= {"person": wizard.around.people().get(login, login), "address": answers.need(f"{parts[0]}.address")}
    return given


def people_names(answers: Answers) -> list[str]:
    """The names of the people given so far."""
    names = (answers.need(f"people.{index}.name") for index in range(answers.count("people")))
    return [name for name in names if name]


def _question(wizard: Wizard, said: Texts) -> Screen:
    spot = wizard.spot()
    step = spot.step
    given = filled(wizard.answers, spot.path, wizard, said)
    value, suggested = wizard.value_of(spot)
    help_text = said.say(f"steps|{step.name}|help", **given)
    if step.name == "link.wifi.name" and (seen := others_in_reach(wizard.answers, wizard.around)):
        help_text += " " + said.say(f"steps|{step.name}|seen", networks=", ".join(seen[:MOST_SEEN]))
    if step.name in ("account.password", "secret.password"):
        known = wizard.around.provider(given["address"], said.language)
        help_text = known.help if known else help_text
    problem = wizard.problem
    return _screen(
        wizard,
        said,
        step.chapter,
        look=step.kind,
        title=said.say(f"steps|{step.name}|title", **given),
        help=help_text,
        choices=tuple(Choice(choice, label(wizard, said, spot, choice)) for choice in wizard.choices(step))
        if step.kind == "choice"
        else (),
        value=wizard.rejected or value,
        suggested=suggested and not wizard.rejected and bool(value) and step.kind != "choice",
        optional=step.optional,
        problem=said.say(f"problems|{problem.key}", **problem.given) if problem else "",
    )


def label(wizard: Wizard, said: Texts, spot: Spot, choice: str) -> str:
    """How one answer of a choice reads."""
    step = spot.step
    if step.source == "languages":
        return texts(choice).name
    if step.source == "countries":
        return wizard.around.countries().get(choice, choice)
    if step.source == "zones":
        return choice.replace("_", " ")
    if step.source == "people":
        return f"{wizard.around.people().get(choice, choice)} ({choice})"
    if step.source == "accounts":
        return _account_label(wizard, said, choice)
    key = f"steps|{step.name}|choices|{choice}"
    return said.say(key)


def _account_label(wizard: Wizard, said: Texts, address: str) -> str:
    complete = all(one.complete for one in wizard.around.accounts() if one.address == address)
    return address if complete else f"{address} – {said.say('later|incomplete')}"


def _ready(wizard: Wizard, said: Texts) -> Screen:
    shown = ("language", "keyboard", "timezone", "name", "network.kind", "network.wifi.name", "link.kind")
    spots = {spot.path: spot for spot in wizard.spots()}
    lines: list[Line] = []
    for path in shown:
        if path in spots:
            value = wizard.answers.need(path)
            spot = spots[path]
            known = spot.step.kind == "choice" and value in wizard.choices(spot.step)
            short = label(wizard, said, spot, value).partition(" – ")[0] if known else value
            if value == "other":
                short = wizard.answers.need(f"{path}_other").replace("_", " ")
            if path == "network.wifi.name":
                lines[-1] = Line(lines[-1].label, f"{lines[-1].value}: {short}")
            else:
                lines.append(Line(said.say(f"chapters|{spot.step.chapter}"), short))
    if "secret.address" in spots or "further.address" in spots:
        address = wizard.answers.need("secret.address") or wizard.answers.need("further.address")
        lines.append(Line(said.say(f"chapters|{wizard.state.chapter}"), address))
    else:
        people = ", ".join(people_names(wizard.answers)) or said.say("ready|nobody")
        lines.append(Line(said.say("ready|people"), people))
    return _screen(
        wizard,
        said,
        "ready",
        look="choice",
        title=said.say("ready|title"),
        help=said.say("ready|help"),
        lines=tuple(lines),
        choices=(Choice("start", said.say("ready|start")), Choice("change", said.say("ready|change"))),
        value="start",
    )


def _change(wizard: Wizard, said: Texts) -> Screen:
    names = dict.fromkeys(spot.step.chapter for spot in wizard.spots())
    return _screen(
        wizard,
        said,
        "ready",
        look="choice",
        title=said.say("ready|which"),
        choices=tuple(Choice(name, said.say(f"chapters|{name}")) for name in names),
        value=next(iter(names)),
    )


def _groups(wizard: Wizard, said: Texts) -> tuple[Line, ...]:
    progress = wizard.progress

    def mark(name: str) -> Mark:
        if name in progress.done:
            return "ok"
        if name in progress.left:
            return "trouble"
        return "running" if name == progress.running else ""

    return tuple(Line(said.say(f"apply|steps|{name}"), "", mark(name)) for name in groups(wizard))


def _apply(wizard: Wizard, said: Texts) -> Screen:
    title, help_text = said.say("apply|title"), said.say("apply|help")
    lines = _groups(wizard, said)
    return _screen(wizard, said, "ready", look="busy", title=title, help=help_text, lines=lines, can_go_back=False)


def _trouble(wizard: Wizard, said: Texts) -> Screen:
    progress = wizard.progress
    answers = ("again", "later", "change") if progress.can_wait else ("again", "change")
    return _screen(
        wizard,
        said,
        "ready",
        look="choice",
        title=said.say("apply|trouble"),
        help=said.say("apply|can_wait" if progress.can_wait else "apply|cannot_wait"),
        problem=said.say(f"apply|wrong|{progress.words}", what=progress.what),
        aid=progress.trouble.splitlines()[0][:LONGEST_AID],
        choices=tuple(Choice(answer, said.say(f"apply|{answer}")) for answer in answers),
        value="again",
    )


def _test(wizard: Wizard, said: Texts) -> Screen:
    findings = wizard.findings
    if findings is None:
        title, help_text = said.say("test|title"), said.say("test|help")
        return _screen(wizard, said, "ready", look="busy", title=title, help=help_text, can_go_back=False)
    left = [Line(said.say(f"apply|steps|{group}"), said.say("test|left"), "trouble") for group in wizard.state.left]
    tried = [
        Line(
            said.say(f"test|items|{found.item}", **found.given),
            said.say(f"test|results|{found.result}", **found.given),
            found.mark,
        )
        for found in findings
    ]
    wrong = [found for found in findings if found.mark == "trouble"]
    choices = [Choice("onward", said.say("test|onward"))]
    if wrong or left:
        choices.append(Choice("again", said.say("test|again")))
        mended = [(spot, each) for each in wrong if (spot := wizard.anywhere(each.mend))]
        mended.sort(key=lambda pair: pair[0].step.chapter != wizard.state.chapter)  # what was just answered comes first
        for _, found in mended[:MOST_MENDED]:
            what = said.say(f"test|items|{found.item}", **found.given)
            choices.append(Choice(found.mend, said.say("test|change", what=what)))
    return _screen(
        wizard,
        said,
        "ready",
        look="choice",
        title=said.say("test|title"),
        help=said.say("test|some" if wrong or left else "test|well"),
        lines=tuple(sorted(left + tried, key=lambda line: WORST_FIRST.index(line.mark))),
        choices=tuple(choices),
        value="onward",
    )


def _join(wizard: Wizard, said: Texts) -> Screen:
    join = Join.from_answers(wizard.answers, wizard.around)
    lines = []
    if join.wifi:
        lines.append(Line(said.say("join|wifi"), join.wifi))
        lines.append(Line(said.say("join|wifi_password"), join.passphrase))
    else:
        lines.append(Line(said.say("join|cable"), ""))
    addresses = (join.address, join.plain_address)
    shown = "\n".join(address.removeprefix("https://") for address in addresses if address)
    lines.append(Line(said.say("join|open"), shown))
    lines.append(Line(said.say("join|login"), ""))
    return _screen(
        wizard,
        said,
        "ready",
        look="choice",
        title=said.say("join|title"),
        help=said.say("join|scan"),
        lines=tuple(lines),
        choices=(Choice("finish", said.say("join|finish")),),
        value="finish",
        qr=join.qr(),
        can_go_back=False,
    )


def _preset(wizard: Wizard, said: Texts) -> Screen:
    shown = [Line(fault, "", "trouble") for fault in wizard.faults[:MOST_FAULTS]]
    return _screen(
        wizard,
        said,
        "ready",
        look="choice",
        title=said.say("preset|title", file=wizard.fault_file),
        help=said.say("preset|help"),
        lines=tuple(shown),
        choices=(Choice("ask", said.say("preset|ask")),),
        value="ask",
        can_go_back=False,
    )
