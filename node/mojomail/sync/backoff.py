"""How long an account waits after a run, by how the run ended; and when its owner is to be told."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mojomail.sync.engine import Outcome, Result

MINUTE, HOUR = 60.0, 3600.0
FOREVER = float("inf")

FIRST_AND_LONGEST = {
    Result.LINK: (MINUTE, 15 * MINUTE),
    Result.LIMIT: (HOUR, 12 * HOUR),
    Result.TRUST: (HOUR, 6 * HOUR),
    Result.RUBBISH: (5 * MINUTE, 2 * HOUR),
    Result.SECRET: (10 * MINUTE, HOUR),
    Result.DISK: (10 * MINUTE, 2 * HOUR),
    Result.BUG: (30 * MINUTE, 6 * HOUR),
    Result.REFUSED: (15 * MINUTE, 15 * MINUTE),
    Result.VALIDITY: (11 * MINUTE, 11 * MINUTE),
}
"""Seconds: after the first failure of a kind, doubled with each further one, up to the longest."""


@dataclass(frozen=True)
class Grounds:
    """What a log-in was tried with. A refused secret stays refused for as long as these are the same."""

    secret_at: float | None = None
    """When its owner gave the secret, seconds since 1970; None without one."""
    settings: tuple[object, ...] = ()
    """The account's `login_settings`."""
    passed_at: float = 0.0
    """When a test last got in, seconds since 1970; 0 when the last test did not."""

    def same_login(self, now: Grounds) -> bool:
        """Whether a log-in would be the same now."""
        return (self.secret_at, self.settings) == (now.secret_at, now.settings)

    def hold(self, now: Grounds) -> bool:
        """Whether a verdict on these still holds: nothing was changed, and no test has got in since."""
        return self.same_login(now) and now.passed_at in (0.0, self.passed_at)


@dataclass(frozen=True)
class Standing:
    """What the last runs of an account came to."""

    result: Result = Result.OK
    failures: int = 0
    """Runs in succession that ended with `result`, if that is none of the good ends."""

    @property
    def stopped(self) -> bool:
        """Whether nothing is tried before somebody has done something about it: see `Grounds`."""
        return self.result is Result.PASSWORD

    @property
    def trouble(self) -> str | None:
        """What the account is in trouble with, for people to be told; None when it is well."""
        return None if self.result is Result.OK else self.result.value

    def after(self, outcome: Outcome) -> Standing:
        """The standing after one more run. A second refusal without a reason is taken for a wrong password."""
        result = outcome.result
        if result is Result.REFUSED and self.result is Result.REFUSED:
            result = Result.PASSWORD
        if result is Result.OK:
            return Standing()
        return Standing(result, self.failures + 1 if result is self.result else 1)

    def wait(self, interval: float) -> float:
        """Seconds until the next run; `interval` is how often a well account has its turn."""
        if self.result is Result.OK:
            return interval
        if self.stopped:
            return FOREVER
        first, longest = FIRST_AND_LONGEST[self.result]
        return float(min(longest, first * 2 ** min(self.failures - 1, 20)))

    def tells(self, before: Standing) -> bool:
        """Whether the owner is to hear of it: once, when it begins."""
        return self.stopped and not before.stopped

    def relieved(self) -> Standing:
        """The standing when the link has come back: what the link did is not held against the account."""
        return Standing() if self.result is Result.LINK else replace(self)
