"""How long an entry stayed at the broker though it had to go, and what held up whoever had to cancel it meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sim.broker import HouseOrder, Trouble
from sim.chain import Granted
from sim.host import MS, SECOND, Span

LEASE_NS: Final = SECOND
#: Without a valid pair of leases for so long, what would add exposure is cancelled.
DEAD_MAN_NS: Final = SECOND
#: From the cause to nothing open at the broker, counted anew when execution lives again or has waited in vain.
UNDISTURBED_NS: Final = 5 * SECOND
#: The same from the newest question or cancel that came to nothing: the longest wait before the next, and its way.
AFTER_TROUBLE_NS: Final = 10 * SECOND
#: The same from the cause itself, whatever happened meanwhile.
ALTOGETHER_NS: Final = 30 * SECOND


@dataclass(frozen=True)
class Cause:
    """Why no entry may stand, from when until when."""

    what: str
    since_ns: int
    until_ns: int


@dataclass(frozen=True)
class Drained:
    """One entry under one cause: its longest times at the broker in which nothing happened to execution.

    `after_trouble_ns` are those that began when the broker had left a question or a cancel without effect.
    """

    key: str
    cause: Cause
    undisturbed_ns: int
    after_trouble_ns: int
    altogether_ns: int

    def is_too_long(self) -> bool:
        return (
            self.undisturbed_ns > UNDISTURBED_NS
            or self.after_trouble_ns > AFTER_TROUBLE_NS
            or self.altogether_ns > ALTOGETHER_NS
        )

    def words(self) -> str:
        return (
            f"{self.key} stayed open for {self.altogether_ns // MS} ms of {self.cause.what}: "
            f"{self.undisturbed_ns // MS} ms in which nothing went wrong, "
            f"{self.after_trouble_ns // MS} ms after an answer that did not come"
        )


def lapses(granted: Sequence[Granted], ended_ns: int) -> Iterator[Cause]:
    """Yield the times in which, by issue, no pair of leases had been there for a second; none before the first."""
    newest: dict[str, int] = {}
    valid_until = 0
    for lease in sorted(granted, key=lambda one: one.boot_ns):
        newest[lease.issuer] = lease.boot_ns + LEASE_NS
        if len(newest) < 2 or min(newest.values()) <= lease.boot_ns:
            continue
        if valid_until and lease.boot_ns > valid_until + DEAD_MAN_NS:
            yield Cause("missing leases", valid_until + DEAD_MAN_NS, lease.boot_ns)
        valid_until = max(valid_until, min(newest.values()))
    if valid_until and ended_ns > valid_until + DEAD_MAN_NS:
        yield Cause("missing leases", valid_until + DEAD_MAN_NS, ended_ns)


def drained(
    order: HouseOrder, causes: Sequence[Cause], held_up: Sequence[Span], troubles: Sequence[Trouble], ended_ns: int
) -> Iterator[Drained]:
    """Yield what each cause made of an entry that could be seen at the broker under it, before `ended_ns`."""
    for cause in causes:
        since = max(cause.since_ns, order.visible_ns)
        until = min(cause.until_ns, order.over_ns or ended_ns, ended_ns)
        if until > since:
            yield _measured(order, Cause(cause.what, since, until), held_up, troubles, ended_ns)


def _measured(
    order: HouseOrder, time: Cause, held_up: Sequence[Span], troubles: Sequence[Trouble], ended_ns: int
) -> Drained:
    # (from, until, whether the broker was it) of each disturbance, in their order.
    disturbed = [(one.since_ns, one.until_ns or ended_ns, False) for one in held_up]
    disturbed.extend((one.boot_ns, one.boot_ns, True) for one in troubles if one.key in {"", order.key})
    at, had_trouble = time.since_ns, False
    longest = {False: 0, True: 0}
    for since, until, is_trouble in sorted(disturbed):
        if since >= time.until_ns:
            break
        longest[had_trouble] = max(longest[had_trouble], since - at)
        at = max(at, until)
        # What was asked shortly before the cause may still wait for its turn under it.
        had_trouble = had_trouble or (is_trouble and until > time.since_ns - AFTER_TROUBLE_NS)
    longest[had_trouble] = max(longest[had_trouble], time.until_ns - at)
    return Drained(order.key, time, longest[False], longest[True], time.until_ns - time.since_ns)
