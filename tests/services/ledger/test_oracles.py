"""Other bookkeepers over the same books: beancount, hledger and exact fractions must come to the same figures."""

import random
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from beancount import loader
from beancount.core import data as beans
from beancount.core import inventory
from made_books import month

from bus.messages import CENT_MICROS, MICROS, NANOS, CashMoved, OrderFilled
from config.identity import Identity
from services.ledger.book import open_book
from services.ledger.core import LedgerCore
from services.ledger.export_beancount import currency_name, export_beancount
from services.ledger.export_hledger import export_hledger
from services.ledger.findings import findings
from services.ledger.reading import Books, Entry, Period, read_books

LEDGERS = 100
EVENTS = 40
SYMBOLS = ("AAPL", "MSFT", "F", "BRK.B", "USD", "TRUE")
UNTIL = Period(first=None, last=date(2027, 12, 31))


def random_events(seed: int) -> Iterator[CashMoved | OrderFilled]:
    """A deposit and then trades of a few names over a few days or years, with parts of shares and of cents."""
    rng = random.Random(seed)
    clock = int(datetime(2023, 11, 1, 14, 30, tzinfo=UTC).timestamp()) * NANOS
    yield CashMoved(
        ts_event=clock, ts_init=clock, activity_id="A-1", kind="DEPOSIT", amount_micros=10**12, broker="PAPER"
    )
    held = dict.fromkeys(SYMBOLS, 0)
    long_steps = seed % 3 == 0
    for number in range(1, EVENTS + 1):
        clock += rng.randrange(1, 30 * 86_400 if long_steps else 900) * NANOS
        symbol = rng.choice(SYMBOLS[: 2 + seed % 5])
        is_sale = held[symbol] > 0 and rng.random() < 0.5
        whole = rng.random() < 0.6
        qty = rng.randrange(1, 300) * NANOS if whole else rng.randrange(1, 50 * NANOS)
        if is_sale:
            qty = held[symbol] if rng.random() < 0.3 else min(qty, held[symbol])
        held[symbol] += -qty if is_sale else qty
        yield OrderFilled(
            ts_event=clock,
            ts_init=clock,
            execution_id=f"PX-{number}",
            client_order_id=f"tb1-{number}",
            broker_order_id=f"PO-{number}",
            intent_id="intent-1",
            leg="exit" if is_sale else "entry",
            session_date="2025-03-12",
            strategy="open",
            symbol=symbol,
            side="SELL" if is_sale else "BUY",
            qty_nanos=qty,
            price_micros=rng.randrange(500_000, 400_000_000, 100),
            commission_micros=rng.choice((0, 350_000, 35_000, -20_000, 12_345)),
            cumulative_qty_nanos=qty,
            order_qty_nanos=qty,
            broker="PAPER",
            reason='a "quoted" reason; and a \\ slash',
        )


@pytest.fixture
def random_books(
    ledger: Path, identity: Identity, core: LedgerCore, tmp_path: Path, paths: Any
) -> Callable[..., Books]:
    """Books through the real core, the real file and its triggers, and read back."""

    def make(seed: int) -> Books:
        copy = tmp_path / str(seed) / ledger.name
        copy.parent.mkdir()
        shutil.copy(ledger, copy)
        book = open_book(copy, identity, may_write=True, is_buffered=True)
        state = core.initial()
        for event in random_events(seed):
            for entry in core.decide(state, event, event.ts_init):
                book.post(entry)
                state = core.evolve(state, entry)
        book.close()
        assert state.last_seq == EVENTS + 1
        return read_books(paths, copy)

    return make


def booked_again(books: Books) -> tuple[list[Any], dict[str, inventory.Inventory]]:
    """What beancount makes of the export: its transactions, and what each account then holds."""
    entries, errors, _ = loader.load_string(export_beancount(books, UNTIL).decode())
    assert [error.message for error in errors] == []
    transactions = [entry for entry in entries if isinstance(entry, beans.Transaction)]
    held: dict[str, inventory.Inventory] = {}
    for transaction in transactions:
        for posting in transaction.postings:
            held.setdefault(posting.account, inventory.Inventory()).add_position(posting)
    return transactions, held


def compare_with_beancount(books: Books) -> int:
    """Compare lots, gains and what is left; return how many sales there were."""
    transactions, held = booked_again(books)
    ours = {entry.seq: entry for entry in books.entries}
    sales = 0
    for transaction in transactions:
        entry = ours[int(transaction.meta["seq"])]
        taken = [p for p in transaction.postings if p.cost is not None and p.units.number < 0]
        if taken:
            sales += 1
            compare_sale(books, entry, transaction, taken)
    left = {
        (position.units.currency, position.cost.label): (
            position.units.number,
            position.units.number * position.cost.number,
        )
        for account, inside in held.items()
        if account == "Assets:1210"
        for position in inside
    }
    open_lots = {
        (currency_name(lot.commodity), f"L{lot.lot_id}"): (Decimal(qty) / NANOS, Decimal(cost) / MICROS)
        for lot, qty, cost in books.open_lots(UNTIL.end_ns)
    }
    assert left.keys() == open_lots.keys()
    for key, (qty, cost) in open_lots.items():
        assert left[key][0] == qty
        assert abs(left[key][1] - cost) <= Decimal("0.005")
    return sales


def compare_sale(books: Books, entry: Entry, transaction: Any, taken: list[Any]) -> None:
    assert [(p.cost.label, -p.units.number) for p in taken] == [
        (f"L{close.lot_id}", Decimal(close.qty) / NANOS) for close in entry.closed
    ]
    gain = -sum(p.units.number for p in transaction.postings if p.account == "Income:RealizedGains")
    assert abs(gain - Decimal(entry.gain_micros) / MICROS) <= Decimal("0.01") * len(entry.closed)


def exact_gains(books: Books) -> dict[str, Fraction]:
    """First in, first out in exact fractions, by nothing but the order of the entries."""
    queues: dict[str, deque[list[Fraction]]] = {}
    gains: dict[str, Fraction] = {}
    for entry in books.entries:
        units = {line.commodity: line.amount for line in entry.lines if line.account == "9010"}
        for commodity, amount in units.items():
            costs = sum(line.amount for line in entry.lines if line.account in ("5010", "4190"))
            gross = Fraction(entry.amount_on(["1010"]) + costs)
            queue = queues.setdefault(commodity, deque())
            if amount > 0:
                queue.append([Fraction(amount), -gross])
                continue
            left, cost = Fraction(-amount), Fraction(0)
            while left:
                part = min(left, queue[0][0])
                share = queue[0][1] * part / queue[0][0]
                queue[0][0] -= part
                queue[0][1] -= share
                cost, left = cost + share, left - part
                if not queue[0][0]:
                    queue.popleft()
            gains[commodity] = gains.get(commodity, Fraction(0)) + gross - cost
    return gains


def test_beancount_when_it_books_random_ledgers_then_lots_gains_and_balances_are_the_same(
    random_books: Callable[[int], Books],
) -> None:
    sales = 0
    for seed in range(LEDGERS):
        books = random_books(seed)
        assert findings(books) == ()
        sales += compare_with_beancount(books)
        exact = exact_gains(books)
        booked: dict[str, int] = {}
        for entry in books.entries:
            for close in entry.closed:
                name = books.lots[close.lot_id].commodity
                booked[name] = booked.get(name, 0) + close.gain
        assert booked.keys() == exact.keys()
        # At most one lot of a queue is sold in part, so that no more than half a cent is ever on its way.
        assert all(abs(booked[name] - exact[name]) <= CENT_MICROS // 2 for name in exact), seed
    assert sales > 10 * LEDGERS


def test_beancount_when_books_have_every_event_then_it_finds_no_fault() -> None:
    books = month().books()
    transactions, held = booked_again(books)
    assert {int(each.meta["seq"]) for each in transactions} == {*range(1, 21)} - {15, 16}
    assert held["Liabilities:2210"].is_empty()
    assert held["Assets:1210"].get_currency_units("AAPL").number == Decimal("8.5")
    assert export_beancount(books, UNTIL) == export_beancount(month().books(), UNTIL)


@pytest.mark.parametrize(
    ("was", "put"),
    [
        ("1210  -4 AAPL", "1210  -5 AAPL"),
        ("1010  479.89", "1010  479.90"),
        ("balance Assets:1010  97185", "balance Assets:1010  97186"),
    ],
)
def test_beancount_when_a_figure_is_wrong_then_it_finds_it(was: str, put: str) -> None:
    text = export_beancount(month().books(), UNTIL).decode()
    assert was in text
    _, errors, _ = loader.load_string(text.replace(was, put))
    assert errors


def test_beancount_when_a_day_comes_before_the_end_then_the_books_stop_there() -> None:
    early = Period(first=None, last=date(2025, 3, 4))
    text = export_beancount(month().books(), early).decode()
    assert text.count("seq:") == 4
    assert f"{early.last + timedelta(days=1)} balance Assets:1010  97122.8166 ~ 0.00 USD" in text


def test_names_when_beancount_cannot_read_them_then_they_are_changed_and_stay_apart() -> None:
    kept = ("AAPL", "F", "BRK.B", "BRK_B", "AAPL250620C00200000")
    assert tuple(currency_name(symbol) for symbol in kept) == kept
    changed = [currency_name(symbol) for symbol in ("TRUE", "USD", "USD/UNITS", "BRK/B", "A" * 30, "A" * 31)]
    assert len(set(changed)) == len(changed)
    assert all(len(name) <= 24 and name.startswith("X-") for name in changed)


def sums_of(journal: str) -> dict[str, Decimal]:
    """Add a journal up as hledger does, checking each stated balance; return the sums of all lines by commodity."""
    balances: dict[tuple[str, str], Decimal] = {}
    sums: dict[str, Decimal] = {}
    for line in journal.splitlines():
        if line.startswith("    "):
            account, _, amounts = line.strip().partition("  ")
            (number, unit), (stated, _) = (part.split(" ", 1) for part in amounts.split(" = "))
            key = account, unit
            balances[key] = balances.get(key, Decimal(0)) + Decimal(number)
            assert balances[key] == Decimal(stated), line
            sums[unit] = sums.get(unit, Decimal(0)) + Decimal(number)
    return sums


def hledger_says(journal: str, file: Path) -> int:
    """Return hledger's verdict, or, where it is not installed, that of our own addition."""
    if shutil.which("hledger") is None:
        try:
            return int(any(sums_of(journal).values()))
        except AssertionError:
            return 1
    file.write_text(journal)
    checks = ("accounts", "commodities", "balancednoautoconversion", "ordereddates")
    return subprocess.run(["hledger", "-f", str(file), "check", *checks], capture_output=True, check=False).returncode


def test_hledger_when_it_adds_the_books_up_then_every_balance_is_right(
    random_books: Callable[[int], Books], tmp_path: Path
) -> None:
    for number, books in enumerate((month().books(), random_books(0), random_books(4))):
        journal = export_hledger(books, UNTIL).decode()
        assert not any(sums_of(journal).values())
        assert hledger_says(journal, tmp_path / f"{number}.journal") == 0


@pytest.mark.parametrize(
    ("was", "put"),
    [("-1000.70 USD = ", "-1000.71 USD = "), ("= 97602.7066 USD", "= 97602.7166 USD"), ('10 "AAPL" =', '11 "AAPL" =')],
)
def test_hledger_when_a_cent_is_planted_then_it_fails(tmp_path: Path, was: str, put: str) -> None:
    journal = export_hledger(month().books(), UNTIL).decode()
    assert was in journal
    assert hledger_says(journal.replace(was, put, 1), tmp_path / "wrong.journal") != 0
