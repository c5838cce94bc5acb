"""What a person is told away from the page: which messages make a notice, and its words. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from bus.clock import iso_utc
from bus.messages import MICROS, NANOS, HaltRaised, Message, OrderFilled

NoticeKind = Literal["fill", "exit", "failure"]
#: A notice is a few lines; more of them than this in one mail are counted and not written out.
_LINES_MAX: Final = 50


class Notice(Struct, frozen=True, kw_only=True):
    """One thing to tell. `subject` is one line; `text` says it in full; `at_utc` is when it happened."""

    kind: NoticeKind
    subject: str
    text: str
    at_utc: str


class Wishes(Struct, frozen=True, kw_only=True):
    """What the operator wants to be told of: NOTIFY_ON_FILL, NOTIFY_ON_EXIT, NOTIFY_ON_FAILURE."""

    fills: bool
    exits: bool
    failures: bool


def notice_of(message: Message, wishes: Wishes) -> Notice | None:
    """Return what to tell of a message, or None when nobody asked for it."""
    match message:
        case OrderFilled(leg="entry" | "fund"):
            return _of_fill(message, "fill") if wishes.fills else None
        case OrderFilled():
            return _of_fill(message, "exit") if wishes.exits else None
        case HaltRaised():
            return _of_halt(message) if wishes.failures else None
        case _:
            return None


def letter(bot_identity: str, notices: Sequence[Notice], lost: int) -> tuple[str, str]:
    """Return the subject and the text of one letter with all notices that waited, oldest first.

    Args:
        bot_identity: which bot this is.
        notices: at least one.
        lost: how many before these could not be kept.
    """
    urgent = next((notice for notice in notices if notice.kind == "failure"), notices[0])
    more = f" (and {len(notices) - 1} more)" if len(notices) > 1 else ""
    lines = [f"{notice.at_utc}  {notice.text}" for notice in notices[:_LINES_MAX]]
    if len(notices) > _LINES_MAX:
        lines.append(f"{len(notices) - _LINES_MAX} more are not written out: see the page.")
    if lost:
        lines.append(f"{lost} notices before these are lost, because they could not be sent: see the page.")
    lines += ["", "All times are UTC. Nothing can be answered by mail: the bot is steered on its page alone."]
    return f"[{bot_identity}] {urgent.subject}{more}", "\n".join(lines) + "\n"


def _of_fill(fill: OrderFilled, kind: NoticeKind) -> Notice:
    done = "bought" if fill.side == "BUY" else "sold"
    what = f"{done} {_number(fill.qty_nanos, NANOS)} {fill.symbol} at {_number(fill.price_micros, MICROS)}"
    rest = fill.order_qty_nanos - fill.cumulative_qty_nanos
    open_words = f", {_number(rest, NANOS)} of the order still open" if rest > 0 else ""
    return Notice(
        kind=kind,
        subject=f"{fill.strategy}: {what}",
        text=f"{fill.strategy}: {what} through {fill.broker}{open_words} ({fill.leg}: {fill.reason}).",
        at_utc=iso_utc(fill.ts_event),
    )


def _of_halt(halt: HaltRaised) -> Notice:
    return Notice(
        kind="failure",
        subject=f"HALTED: {halt.rule}",
        text=f"Halt {halt.counter} by {halt.source}, {halt.rule}: {halt.detail}. Only an operator arms again.",
        at_utc=iso_utc(halt.ts_event),
    )


def _number(scaled: int, unit: int) -> str:
    exact = Decimal(scaled) / unit
    return f"{exact:,.2f}" if unit == MICROS and scaled % (unit // 100) == 0 else f"{exact.normalize():,f}"
