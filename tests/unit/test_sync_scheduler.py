"""Turns: fair between people, soon for who is looking, patient with what is broken. The clock is a number."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mojomail.sync.backoff import Grounds, Standing
from mojomail.sync.engine import Outcome, Result
from mojomail.sync.scheduler import SLICE, Scheduler, Subject, Turn

OK = Outcome(Result.OK, down=5000, contact=True)
LINK = Outcome(Result.LINK)
WRONG = Outcome(Result.PASSWORD)


def village(count: int, **options: float) -> Scheduler:
    """Everybody with one account, the link up at 0."""
    scheduler = Scheduler(**options)  # type: ignore[arg-type]
    scheduler.take_part([Subject(number, 20000 + number) for number in range(1, count + 1)], 0.0)
    scheduler.link(True, 0.0)
    return scheduler


def take(scheduler: Scheduler, now: float) -> Turn:
    turn = scheduler.next(now)
    assert turn is not None
    return turn


def test_nothing_runs_without_a_link() -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001)], 0.0)
    assert scheduler.next(0.0) is None and scheduler.wake_in(0.0) is None
    scheduler.link(True, 10.0)
    assert take(scheduler, 10.0).account == 1


def test_one_at_a_time() -> None:
    scheduler = village(3)
    take(scheduler, 0.0)
    assert scheduler.next(0.0) is None


def test_two_at_a_time_are_of_two_people() -> None:
    scheduler = Scheduler(at_once=2)
    scheduler.take_part([Subject(1, 20001), Subject(2, 20001), Subject(3, 20002)], 0.0)
    scheduler.link(True, 0.0)
    assert {take(scheduler, 0.0).uid, take(scheduler, 0.0).uid} == {20001, 20002}
    assert scheduler.next(0.0) is None


def test_who_is_looking_is_first() -> None:
    scheduler = village(50)
    scheduler.finished(take(scheduler, 0.0).account, OK, 5.0)
    scheduler.look(20042, 6.0)
    assert take(scheduler, 6.0).account == 42


def test_looking_all_day_does_not_keep_others_waiting() -> None:
    scheduler = village(10)
    turns, now = [], 0.0
    for _ in range(40):
        scheduler.look(20003, now)
        turn = take(scheduler, now)
        turns.append(turn.account)
        now += 70.0
        scheduler.finished(turn.account, Outcome(Result.OK, more=True, down=SLICE), now)
    assert set(turns) == set(range(1, 11))
    assert turns.count(3) <= 22


def test_a_wrong_password_stops_the_account_and_is_told_once() -> None:
    scheduler = village(1)
    verdict = scheduler.finished(take(scheduler, 0.0).account, WRONG, 1.0)
    assert verdict.tell and verdict.wait == float("inf")
    scheduler.link(False, 2.0)
    scheduler.link(True, 3.0)
    assert not scheduler.look(20001, 4.0)
    assert scheduler.next(1e7) is None
    scheduler.take_part([Subject(1, 20001, Grounds(secret_at=5.0))], 5.0)
    assert take(scheduler, 5.0).account == 1


OLD = Grounds(secret_at=1.0, settings=("imap.example.org",))


@pytest.mark.parametrize(
    ("new", "tried"),
    [
        (replace(OLD, secret_at=2.0), True),
        (replace(OLD, settings=("mail.example.org",)), True),
        (replace(OLD, passed_at=9.0), True),
        (OLD, False),
    ],
    ids=["another secret", "other settings", "a test that got in", "nothing changed"],
)
def test_a_stopped_account_goes_on_when_its_keeper_has_mended_it(new: Grounds, tried: bool) -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001, OLD)], 0.0, {1: Standing(Result.PASSWORD, 1)})
    scheduler.link(True, 0.0)
    scheduler.take_part([Subject(1, 20001, new)], 10.0)
    assert (scheduler.next(10.0) is not None) is tried


def test_a_test_that_does_not_get_in_starts_nothing() -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001, replace(OLD, passed_at=5.0))], 0.0)
    scheduler.link(True, 0.0)
    assert scheduler.finished(take(scheduler, 0.0).account, WRONG, 1.0).tell
    scheduler.take_part([Subject(1, 20001, OLD)], 10.0)
    assert scheduler.next(10.0) is None
    scheduler.take_part([Subject(1, 20001, replace(OLD, passed_at=20.0))], 20.0)
    assert scheduler.next(20.0) is not None


def test_a_test_that_gets_in_does_not_hurry_an_account_that_waits_for_something_else() -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001, OLD)], 0.0)
    scheduler.link(True, 0.0)
    scheduler.finished(take(scheduler, 0.0).account, Outcome(Result.LIMIT), 1.0)
    scheduler.take_part([Subject(1, 20001, replace(OLD, passed_at=9.0))], 10.0)
    assert scheduler.next(10.0) is None


@pytest.mark.parametrize("result", [Result.PASSWORD, Result.REFUSED])
def test_a_refusal_of_the_secret_of_before_is_not_held_against_the_new_one(result: Result) -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001, OLD)], 0.0)
    scheduler.link(True, 0.0)
    turn = take(scheduler, 0.0)
    scheduler.take_part([Subject(1, 20001, replace(OLD, secret_at=2.0))], 1.0)
    verdict = scheduler.finished(turn.account, Outcome(result), 2.0)
    assert not verdict.tell and not verdict.standing.failures and verdict.wait == 0
    assert scheduler.finished(take(scheduler, 2.0).account, WRONG, 3.0).tell


def test_a_new_secret_is_tried_at_once_also_after_a_run_that_began_with_the_old_one() -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001, OLD)], 0.0)
    scheduler.link(True, 0.0)
    turn = take(scheduler, 0.0)
    scheduler.take_part([Subject(1, 20001, replace(OLD, secret_at=2.0))], 1.0)
    scheduler.finished(turn.account, OK, 2.0)
    assert take(scheduler, 2.0).account == 1
    assert scheduler.finished(1, OK, 3.0).wait == 900


def test_a_refusal_without_a_reason_is_believed_the_second_time() -> None:
    scheduler = village(1)
    first = scheduler.finished(take(scheduler, 0.0).account, Outcome(Result.REFUSED), 1.0)
    assert not first.tell and first.wait < 3600
    second = scheduler.finished(take(scheduler, 1.0 + first.wait).account, Outcome(Result.REFUSED), 2000.0)
    assert second.tell and second.standing.stopped


def test_a_stopped_account_stays_stopped_over_a_restart() -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001)], 0.0, {1: Standing(Result.PASSWORD, 1)})
    scheduler.link(True, 0.0)
    assert scheduler.next(0.0) is None


def test_a_lost_link_is_tried_again_soon_and_at_once_when_it_comes_back() -> None:
    scheduler = village(1)
    waits = []
    now = 0.0
    for _ in range(6):
        turn = take(scheduler, now)
        waits.append(scheduler.finished(turn.account, LINK, now).wait)
        now += waits[-1]
    assert waits == [60, 120, 240, 480, 900, 900]
    scheduler.finished(take(scheduler, now).account, LINK, now)
    scheduler.link(False, now + 1)
    scheduler.link(True, now + 2)
    assert take(scheduler, now + 2).account == 1


@pytest.mark.parametrize("result", [each for each in Result if each not in (Result.OK, Result.PASSWORD)])
def test_every_other_trouble_is_tried_again(result: Result) -> None:
    scheduler = village(1)
    wait = scheduler.finished(take(scheduler, 0.0).account, Outcome(result), 0.0).wait
    assert 0 < wait <= 3600
    assert take(scheduler, wait).account == 1


def test_a_troubled_account_is_not_hammered_by_a_person_who_is_looking() -> None:
    scheduler = village(1)
    scheduler.finished(take(scheduler, 0.0).account, Outcome(Result.LIMIT), 0.0)
    scheduler.look(20001, 100.0)
    assert scheduler.next(100.0) is None


def test_an_outage_of_many_days_ends_with_everybody_due() -> None:
    scheduler = village(5)
    scheduler.finished(take(scheduler, 0.0).account, OK, 1.0)
    scheduler.link(False, 2.0)
    assert scheduler.next(30 * 86400.0) is None
    scheduler.link(True, 30 * 86400.0)
    seen = set()
    for step in range(5):
        turn = take(scheduler, 30 * 86400.0 + step)
        seen.add(turn.account)
        scheduler.finished(turn.account, OK, 30 * 86400.0 + step)
    assert seen == {1, 2, 3, 4, 5}


def test_an_account_that_is_gone_during_its_run_is_forgotten_after_it() -> None:
    scheduler = village(2)
    turn = take(scheduler, 0.0)
    left = 3 - turn.account
    scheduler.take_part([Subject(left, 20000 + left)], 1.0)
    scheduler.finished(turn.account, OK, 2.0)
    scheduler.take_part([Subject(left, 20000 + left)], 3.0)
    assert take(scheduler, 3.0).account == left


@pytest.mark.parametrize("seed", range(2))
def test_two_hundred_people_share_a_thin_link_fairly(seed: int) -> None:
    chance = random.Random(seed)
    scheduler = village(200, metered_interval=3600.0)
    backlog = {number: chance.choice([20_000, 200_000, 5_000_000]) for number in range(1, 201)}
    wanted = dict(backlog)
    rate, now = 3000.0, 0.0
    got = dict.fromkeys(backlog, 0)
    first_done: dict[int, float] = {}
    while now < 8 * 3600:
        turn = scheduler.next(now)
        if turn is None:
            wait = scheduler.wake_in(now)
            assert wait is not None
            now += max(wait, 1.0)
            continue
        size = min(turn.budget, backlog[turn.account])
        if chance.random() < 0.05:
            now += 30.0
            scheduler.finished(turn.account, LINK, now)
            continue
        backlog[turn.account] -= size
        got[turn.account] += size
        now += 10.0 + size / rate
        if not backlog[turn.account]:
            first_done.setdefault(turn.account, now)
        more = backlog[turn.account] > 0
        scheduler.finished(turn.account, Outcome(Result.OK, more=more, down=size, contact=True), now)
    small = [number for number, size in wanted.items() if size == 20_000]
    assert all(number in first_done for number in small)
    # Those who want more than there is have all had the same, but for one slice and what lost runs cost.
    hungry = [got[number] for number in backlog if backlog[number]]
    assert max(hungry) - min(hungry) <= 2 * SLICE


def test_who_insists_has_a_turn_also_after_failures_but_not_with_a_refused_password() -> None:
    scheduler = Scheduler()
    scheduler.take_part([Subject(1, 20001)], 0.0)
    scheduler.link(True, 0.0)
    assert scheduler.next(0.0) is not None
    scheduler.finished(1, Outcome(Result.BUG), 1.0)
    assert scheduler.look(20001, 2.0) and scheduler.next(2.0) is None
    assert scheduler.look(20001, 3.0, insist=True) and scheduler.next(3.0) is not None
    scheduler.finished(1, Outcome(Result.PASSWORD), 4.0)
    assert not scheduler.look(20001, 5.0, insist=True) and scheduler.next(5.0) is None
