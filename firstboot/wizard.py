"""The engine: which screen is shown, what an answer does. Each answer is on the card before the next screen.

A chapter that is opened after the set-up is on the card as a whole, when it is applied, or not at all: so a power cut
leaves what was in force, and nothing half-changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from .answers import Answers
from .checks import Problem, Question, find_problem, tidy
from .journal import Journal, State
from .phases import APPLY, CHANGE, DONE, JOIN, PHASES, PRESET, READY, TEST, TROUBLE
from .route import Spot, route, take
from .screens import Screen
from .sources import listed
from .steps import Plan, Step, plan
from .suggested import Suggested
from .suggestions import CLOCK_FORM, zone_of
from .surroundings import Surroundings
from .work import Finding, Progress


class Wizard:
    """One set-up, or one chapter of it again. Front ends share it: every method may be called from any thread."""

    def __init__(
        self,
        journal: Journal,
        around: Surroundings,
        *,
        questions: Plan | None = None,
        set_clock: Callable[[datetime], None] = lambda moment: None,
        start: State | None = None,
    ) -> None:
        self.plan = questions or plan()
        self.around = around
        self._journal, self._set_clock = journal, set_clock
        self._lock = threading.RLock()
        self._listeners: list[Callable[[], None]] = []
        self._suggested = Suggested()
        self._providers: dict[str, str] = {}
        self._also: set[str] = set()
        self.problem: Problem | None = None
        self.rejected = ""
        self.progress = Progress()
        self.findings: Sequence[Finding] | None = None
        self.faults: Sequence[str] = ()
        self.fault_file = ""
        self.ending: Callable[[], object] = lambda: None
        """What is to be done before the end is marked."""
        self.state = start or journal.load()
        if self.state.at not in PHASES and self.state.at not in {spot.path for spot in self.spots()}:
            self.state = replace(self.state, at=self._first())
        if self.state.at in (TROUBLE, TEST, CHANGE):
            self.state = replace(self.state, at=READY if self.state.at == CHANGE else APPLY)
        self._old, self._on_card = self.state.answers, not self.state.chapter or self.state.at == APPLY
        self._resumed = self.state.at == APPLY

    # --- What front ends see

    @property
    def answers(self) -> Answers:
        """All answers so far."""
        return self.state.answers

    @property
    def at(self) -> str:
        """Where we are: the path of a question, or a phase."""
        return self.state.at

    @property
    def language(self) -> str:
        """The language of the screens."""
        return self.answers.get("language") or "en"

    def listen(self, call: Callable[[], None]) -> None:
        """Have `call` called after each change, in whichever thread it happens."""
        self._listeners.append(call)

    def screen(self, language: str = "") -> Screen:
        """What is to be shown now, in the language that was chosen, or in the one that is given."""
        from .pages import page

        with self._lock:
            return page(self, language)

    def answer(self, at: str, value: str) -> bool:
        """Answer the screen `at`. False when it is not the one shown, or the answer cannot be taken (see `problem`)."""
        with self._lock:
            if at != self.at:
                return False
            taken = self._answer_phase(value) if at in PHASES else self._answer_question(value)
        self.changed()
        return taken

    def back(self, at: str) -> bool:
        """Go back one screen, if `at` is the one shown and there is one before."""
        with self._lock:
            before = self.before() if at == self.at else None
            if before is None:
                return False
            self.problem, self.rejected = None, ""
            if before == DONE:
                self.state = replace(self.state, at=DONE, answers=self._old, chapter="")
            else:
                self._save(replace(self.state, at=before, unattended=False))
        self.changed()
        return True

    # --- The way

    def provider_of(self, address: str) -> str:
        """How the provider of an address wants to be asked: password, oauth2 or unknown."""
        if address not in self._providers:
            known = self.around.provider(address, self.language)
            self._providers[address] = known.secret if known else "unknown"
        return self._providers[address]

    def spots(self) -> list[Spot]:
        """The questions, in order, given the answers so far; of a chapter, and of those that it has led to."""
        open_now = {self.state.chapter, *self._also} if self.state.chapter else ()
        return route(self.plan, self.answers, self.provider_of, open_now)

    def everywhere(self) -> list[Spot]:
        """The questions of a set-up, and those of the open chapter if it is asked afterwards only."""
        every = route(self.plan, self.answers, self.provider_of)
        return every + [spot for spot in self.spots() if spot not in every]

    def anywhere(self, path: str) -> Spot | None:
        """The question at a path, of whatever chapter; None where it is not asked."""
        return next((spot for spot in self.everywhere() if spot.path == path), None)

    def accounts_only(self) -> bool:
        """Whether nothing but accounts changes, so that no phone has to lose the network for it.

        After a power cut nobody knows what else was answered: then everything is brought into force.
        """
        open_now = {self.state.chapter, *self._also}
        return not self._resumed and open_now <= {chapter.name for chapter in self.plan.afterwards}

    def spot(self) -> Spot:
        """The question that is shown."""
        return next(spot for spot in self.spots() if spot.path == self.at)

    def before(self) -> str | None:
        """Where Back leads; None where it leads nowhere. A chapter of which nothing is on the card yet it closes."""
        if self.at == TEST:
            return None if self.findings is None or self.state.chapter else READY
        paths = [spot.path for spot in self.spots()]
        if self.at in (READY, CHANGE, TROUBLE):
            return paths[-1] if self.at == READY else READY
        if self.at not in paths or self.at == paths[0]:
            return DONE if self.at in paths and not self._on_card else None
        return paths[paths.index(self.at) - 1]

    def value_of(self, spot: Spot) -> tuple[str, bool]:
        """What stands on a question's screen at first, and whether the node made it up."""
        given = self.answers.get(spot.path)
        if given is not None:
            return given, False
        if spot.step.suggest:
            return self._suggested.make(spot.step.suggest, spot.path, self.answers, self.around), True
        if spot.step.source and not spot.step.default:
            return next(iter(self.choices(spot.step)), ""), True
        return spot.step.default, True

    def problem_with(self, spot: Spot, value: str, beside: Answers | None = None) -> Problem | None:
        """Why `value` cannot be the answer to a question, beside other answers than all; None when it can."""
        step = spot.step
        if step.kind == "choice" and "other" not in step.choices and value not in self.choices(step):
            return Problem("choice")
        asked = Question(value, spot.path, self.answers if beside is None else beside, self.around)
        return find_problem(asked, optional=step.optional, checks=step.checks)

    def choices(self, step: Step) -> Sequence[str]:
        """The answers of a choice."""
        return step.choices or listed(step.source, self.around)

    def misfits(self) -> Iterator[tuple[Spot, Problem]]:
        """Answers that cannot stay beside the others or on this machine, as when another was changed after them.

        What was no better before a chapter was opened is left alone: a stick that is pulled out stops no other change.
        """
        for spot in self.everywhere():
            value = self.answers.get(spot.path)
            problem = None if value is None else self.problem_with(spot, value)
            if value is None or problem is None:
                continue
            same = self.state.chapter and value == self._old.get(spot.path)
            if not same or problem != self.problem_with(spot, value, self._old):
                yield spot, problem

    def fill_in(self) -> list[tuple[str, Problem]]:
        """Answer every open question as Enter would, and list what cannot be answered so, or fits nothing else."""
        troubles: list[tuple[str, Problem]] = []
        with self._lock:
            answers = self.state.answers
            while True:
                self.state = replace(self.state, answers=answers)
                seen = {path for path, _ in troubles}
                spot = next((s for s in self.spots() if answers.get(s.path) is None and s.path not in seen), None)
                if spot is None:
                    return troubles + [(found.path, problem) for found, problem in self.misfits()]
                value, _ = self.value_of(spot)
                problem = self.problem_with(spot, value)
                if problem is not None:
                    troubles.append((spot.path, problem))
                else:
                    answers = answers.with_answer(spot.path, value)

    # --- What answers do

    def _answer_question(self, value: str) -> bool:
        spot = self.spot()
        value = tidy(value, spot.step.kind, spot.step.checks)
        self.problem = self.problem_with(spot, value)
        self.rejected = "" if self.problem is None or spot.step.secret else value
        if self.problem is not None:
            return False
        if spot.path == "clock_time" and not self._take_clock(value):
            self.problem, self.rejected = Problem("clock_stays"), value
            return False
        turn = take(self.answers, self.at, value)
        gone = dict(self.answers.leaves()).keys() - dict(turn.answers.leaves()).keys()
        if turn.answers != self.answers:
            self._suggested.forget_outdated()
        self.state = replace(self.state, answers=turn.answers)
        self._ask_again(gone)
        if turn.moved:
            self._begin_list_anew(turn.moved)
        where = turn.again or self._after(turn.after, spot.step.chapter)
        if spot.path == "clock_time":  # the clock runs on by itself; kept, Enter would set it back to this time
            self.state = replace(self.state, answers=self.answers.with_answer("clock", "keep").without("clock_time"))
        if where == APPLY:
            self._to_apply()
        else:
            self._save(replace(self.state, at=where))
        return True

    def _take_clock(self, value: str) -> bool:
        """Set the clock, unless its own time is taken as it was shown; whether it could be set."""
        if value == self._suggested.get("clock_time"):
            return True
        moment = datetime.strptime(value, CLOCK_FORM).replace(tzinfo=ZoneInfo(zone_of(self.answers)))
        try:
            self._set_clock(moment)
        except (OSError, OverflowError, ValueError):  # what a clock can hold, only its driver knows
            return False
        return True

    def forget_suggestions(self) -> None:
        """What was made up, nobody has seen."""
        self._suggested.forget()

    def _ask_again(self, paths: Collection[str]) -> None:
        """Ask questions although a file has answered them; what stands there, Enter takes."""
        self.state = replace(self.state, given=tuple(path for path in self.state.given if path not in paths))

    def _begin_list_anew(self, items: str) -> None:
        """Whose number is another one now is asked everything."""
        self._ask_again([path for path in self.state.given if path.startswith(f"{items}.")])
        self._suggested.forget_under(items)

    def _after(self, path: str, chapter: str) -> str:
        spots = self.spots()
        index = next(number for number, spot in enumerate(spots) if spot.path == path)
        for spot in spots[index + 1 :]:
            leaves = self.state.returning and spot.step.chapter != chapter
            if leaves and self.answers.get(spot.path) is not None:
                continue
            if spot.path not in self.state.given:
                return spot.path
        return APPLY if self.state.chapter else READY

    def _first(self) -> str:
        return next((spot.path for spot in self.spots() if spot.path not in self.state.given), READY)

    def _answer_phase(self, value: str) -> bool:
        if self.at == READY and value == "start":
            self._to_apply()
        elif self.at == READY and value == "change":
            self._save(replace(self.state, at=CHANGE, returning=True))
        elif self.at == CHANGE:
            asked = [spot.path for spot in self.spots() if spot.step.chapter == value]
            if not asked:
                return False
            self._ask_again(asked)
            self._save(replace(self.state, at=asked[0]))
        elif self.at == TROUBLE and value in ("again", "change"):
            self._save(replace(self.state, at=APPLY if value == "again" else READY, unattended=False))
        elif self.at == TROUBLE and value == "later" and self.progress.can_wait:
            left = (*self.state.left, self.progress.running)
            self._save(replace(self.state, at=APPLY, unattended=False, left=left))
        elif self.at == TEST and self.findings is not None:
            return self._answer_test(value)
        elif self.at == JOIN and value == "finish":
            self._journal.mark_done()
            self.state = replace(self.state, at=DONE)
        elif self.at == PRESET and value == "ask":
            self._save(replace(self.state, at=self._first()))
        else:
            return False
        return True

    def _to_apply(self) -> None:
        """Have all answers applied; where one does not fit, ask that one again first."""
        misfit = next(self.misfits(), None)
        if misfit is None:
            left = self.state.left if self.state.chapter else ()
            self._save(replace(self.state, at=APPLY, returning=False, left=left))
        else:
            spot, self.problem = misfit
            self._visit(spot)

    def _answer_test(self, value: str) -> bool:
        if value == "onward":
            self.finish()
        elif value == "again" and self.state.left:
            self._save(replace(self.state, at=APPLY))
        elif value == "again":
            self.findings = None
        elif (spot := self.anywhere(value)) is not None:
            self._visit(spot)
        else:
            return False
        return True

    def _visit(self, spot: Spot) -> None:
        """Ask one question again, be it of another chapter than the one that is open."""
        self._also.add(spot.step.chapter)
        self._save(replace(self.state, at=spot.path, returning=True))

    # --- What the one who does the work says

    def applied(self, trouble: str = "", *, left: tuple[str, ...] = ()) -> None:
        """The answers are in force now, but for groups that are left for later; or could not be: `trouble` says why."""
        with self._lock:
            self.progress = replace(self.progress, trouble=trouble)
            self.findings = None
            before = self.state.left
            if not trouble and "people" in before and self.state.chapter not in ("", "people"):
                left = (*left, "people")  # whom the set-up could not add is in no answers any more, so nobody was
            self.state = replace(self.state, at=TROUBLE if trouble else TEST, left=before if trouble else left)
        self.changed()

    def once_more(self) -> None:
        """Try again what failed, if nobody has said by now what to do."""
        with self._lock:
            if self.at == TROUBLE and self.state.unattended:
                self._save(replace(self.state, at=APPLY))
        self.changed()

    def tried(self, findings: Sequence[Finding]) -> None:
        """Everything was tried out; unattended, that is all."""
        with self._lock:
            self.findings = tuple(findings)
            if self.state.unattended:
                self.finish()
        self.changed()

    def finish(self) -> None:
        """The node is set up."""
        with self._lock:
            self.ending()
            self.state = self._journal.finish(replace(self.state, at=JOIN))

    def fresh(self) -> bool:
        """Whether nothing has been answered and no file been read."""
        return not self.state.at or (not list(self.answers.leaves()) and not self.state.preset)

    def take(self, state: State) -> None:
        """Go on from a state that a file has given, or from the mistakes in it."""
        with self._lock:
            self.state = state
            if not state.at:
                self.state = replace(state, at=self._first())
            self._save(self.state)
        self.changed()

    def if_at(self, at: str, act: Callable[[], None]) -> bool:
        """Do something that nobody answers meanwhile, if `at` is what is shown; whether it was."""
        with self._lock:
            if at != self.at:
                return False
            act()
        return True

    def show_faults(self, file: str, faults: Sequence[str]) -> None:
        """Show what is wrong with a preset file."""
        with self._lock:
            self.fault_file, self.faults = file, tuple(faults)
            self.forget_suggestions()
            self.state = replace(self.state, at=PRESET)
        self.changed()

    def report(self, progress: Progress) -> None:
        """How far the work is."""
        self.progress = progress
        self.changed()

    def changed(self) -> None:
        """Tell the front ends."""
        for call in self._listeners:
            call()

    def _save(self, state: State) -> None:
        if not state.chapter or state.at == APPLY:
            self._journal.save(state)
            self._on_card = True
        self.state = state
