"""Compare the books with what the broker states: cash to the micro-dollar, units lot by lot's sum. Pure.

A difference in cash goes to suspense, where an operator explains it. Units that the books have and the broker has not
cannot be booked without a price: they stand as a false assertion until a later comparison is right. What the broker
has beyond the books was bought by somebody else; execution shows it as external.
"""

from collections.abc import Mapping, Sequence

from bus.messages import AccountStated, BooksCompared
from services.ledger import accounts
from services.ledger.events import SuspenseBooked
from services.ledger.figures import dollars, shares
from services.ledger.lots import Lot, units_open

_DETAIL_MAX = 400


def compared(
    stated: AccountStated, *, cash_micros: int, lots: Mapping[str, Sequence[Lot]], now_ns: int
) -> BooksCompared:
    """Return the books beside what the broker stated.

    Args:
        stated: what the broker says.
        cash_micros: what the books hold of the broker's cash, settled or not, with envelopes and payouts on their way.
        lots: open lots by commodity.
        now_ns: session time.
    """
    told = {accounts.unit_commodity(symbol): qty for symbol, qty in zip(stated.symbols, stated.qtys_nanos, strict=True)}
    booked = {commodity: held for commodity, queue in lots.items() if (held := units_open(queue))}
    names = sorted(told.keys() | booked.keys())
    words = []
    if (difference := stated.cash_micros - cash_micros) != 0:
        words.append(
            f"cash is {dollars(stated.cash_micros)} at {stated.broker} and {dollars(cash_micros)} in the books: "
            f"{dollars(difference)} went to suspense"
        )
    words += [
        f"{shares(told.get(name, 0))} {name} at {stated.broker}, {shares(held)} in the books"
        for name in names
        if told.get(name, 0) < (held := booked.get(name, 0))
    ]
    return BooksCompared(
        ts_event=stated.ts_event,
        ts_init=max(now_ns, stated.ts_init),
        broker=stated.broker,
        occasion=stated.occasion,
        cash_told_micros=stated.cash_micros,
        cash_booked_micros=cash_micros,
        symbols=tuple(names),
        told_nanos=tuple(told.get(name, 0) for name in names),
        booked_nanos=tuple(booked.get(name, 0) for name in names),
        detail="; ".join(words)[:_DETAIL_MAX],
    )


def suspense_of(event: BooksCompared) -> SuspenseBooked | None:
    """Return what a comparison puts into suspense; None where cash agrees."""
    difference = event.cash_told_micros - event.cash_booked_micros
    if difference == 0:
        return None
    side = "more" if difference > 0 else "less"
    return SuspenseBooked(
        broker=event.broker,
        key=f"compared-{event.ts_event}",
        ts_ns=event.ts_event,
        told_ns=event.ts_init,
        amount_micros=difference,
        reason=f"{event.broker} has {side} cash than the books, compared on {event.occasion}",
    )


def assertions_of(event: BooksCompared) -> list[tuple[str, str, int, str]]:
    """Return what a comparison asserts: scope, commodity, what the books must hold for it, and who says so."""
    found = [("CASH", accounts.CURRENCY, event.cash_told_micros, event.broker)]
    for name, told, booked in zip(event.symbols, event.told_nanos, event.booked_nanos, strict=True):
        beyond = max(0, told - booked)
        source = f"{event.broker}, less {shares(beyond)} that are not in the books" if beyond else event.broker
        if booked or told < 0:
            found.append(("UNITS", name, told - beyond, source))
    return found
