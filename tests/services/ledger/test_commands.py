"""Operators' commands on the books: a changed chart, an entry taken back, a difference explained; each in words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.commands import Outcome
from bus.messages import (
    NANOS,
    AskLedger,
    ChangeCoa,
    EntryPosted,
    ExplainSuspense,
    LedgerPage,
    Message,
    OrderFilled,
    ReconcileNow,
    ReverseEntry,
)
from services.ledger import accounts
from services.ledger.book import open_book
from services.ledger.events import SuspenseBooked
from services.ledger.verify import verify_file

COMMON: dict[str, Any] = {
    "ts_event": 1_700_000_900_000_000_000, "ts_init": 1_700_000_900_000_000_000, "command_id": "c1",
    "expires_boot_ns": 1, "operator": "olga", "receiver": "ledger", "halt_counter": 0, "reason": "for the test",
}  # fmt: skip


class Deciding:
    """The runtime's part, over the tests' journal."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal

    @property
    def state(self) -> Any:
        return self._journal.state

    def decided(self, message: Message) -> Sequence[Message]:
        return self._journal.assembly.core.decide(self.state, message, COMMON["ts_init"])

    def follow(self, events: Sequence[Message]) -> None:
        for event in events:
            self._journal.assembly.shell.before_commit(event)
            self._journal.events.append(event)
            self._journal.state = self._journal.assembly.core.evolve(self._journal.state, event)


class Office:
    """A running ledger service that is given commands."""

    def __init__(self, journal: Any) -> None:
        self.journal = journal

    def order(self, kind: type[Any], **fields: Any) -> Outcome:
        outcome = self.journal.assembly.on_request(kind(**(COMMON | fields)), Deciding(self.journal))
        assert isinstance(outcome, Outcome)
        return outcome

    def change(self, action: str, code: str, version: int = 1, **fields: Any) -> Outcome:
        return self.order(ChangeCoa, action=action, code=code, coa_version=version, **fields)

    def ask(self, kind: str, **fields: Any) -> LedgerPage:
        plain = {key: value for key, value in COMMON.items() if key not in ("halt_counter", "reason")}
        pending = self.journal.assembly.on_request(AskLedger(**plain, kind=kind, **fields), Deciding(self.journal))
        while (outcome := pending()) is None:
            pass
        assert outcome.is_done, outcome.detail
        return msgspec.json.decode(outcome.body, type=LedgerPage)


@pytest.fixture
def office(start: Callable[..., Any], ledger: Path, day: list[Message]) -> Office:
    journal = start()
    for message in day:
        journal.hear(message)
    return Office(journal)


# --- the chart of accounts ---------------------------------------------------------------------------------------


def test_a_chart_when_changed_is_a_new_version_that_says_who_and_why(office: Office) -> None:
    assert office.change("add", "5070", name="Consulting", parent="5000", account_type="EXPENSE").detail == (
        "The chart of accounts is at version 2."
    )
    assert office.change("rename", "5070", version=2, name="Advice").is_done
    assert office.change("add", "5071", version=3, name="Legal", parent="5000", account_type="EXPENSE").is_done
    assert office.change("add", "5600", version=4, name="Office", account_type="EXPENSE", is_heading=True).is_done
    assert office.change("move", "5070", version=5, parent="5600").is_done
    assert office.change("deactivate", "5071", version=6).is_done
    assert office.change("activate", "5071", version=7).is_done
    versions = office.ask("coa_versions").rows
    assert [row[0] for row in versions] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert versions[0][2:5] == ("olga", "WEB", "activate 5071: for the test")
    assert office.ask("coa_diff").rows == (("5071", "changed", "status", "CLOSED", "OPEN"),)
    moved = office.ask("coa_diff", version=6).rows
    assert moved == (("5070", "changed", "parent", "5000", "5600"),)
    assert office.ask("coa_diff", version=2, version_before=1).rows == (("5070", "added", "", "", "Consulting"),)


@pytest.mark.parametrize(
    ("action", "code", "fields", "words"),
    [
        ("add", "1010", {"name": "Mine"}, "Account 1010 exists already"),
        ("add", "12a", {"name": "Mine"}, "must be 1 to 12 digits"),
        ("add", "5070", {"name": " "}, "needs a name"),
        ("add", "5070", {"name": "x", "parent": "5999", "account_type": "EXPENSE"}, "has parent 5999, which does not"),
        ("add", "5070", {"name": "x", "parent": "1000", "account_type": "EXPENSE"}, "cannot go below 1000, a ASSET"),
        (
            "add",
            "5070",
            {"name": "x", "parent": "5010", "account_type": "EXPENSE"},
            "has postings, so it is no heading",
        ),
        ("rename", "7777", {"name": "x"}, "There is no account 7777"),
        ("rename", "1010", {"name": "Cash - float (settled, operating)"}, "is so already"),
        ("move", "1000", {"parent": "1010"}, "its own ancestor"),
        ("deactivate", "1010", {}, "is needed by the posting recipes"),
        ("deactivate", "9000", {}, "has open accounts below it"),
    ],
)
def test_a_chart_when_a_change_cannot_be_is_left_as_it_is(
    office: Office, action: str, code: str, fields: dict[str, Any], words: str
) -> None:
    outcome = office.change(action, code, **fields)
    assert not outcome.is_done
    assert words in outcome.detail
    assert office.ask("coa_versions").rows_total == 1


def test_a_chart_when_somebody_else_changed_it_meanwhile_is_looked_at_again(office: Office) -> None:
    assert office.change("deactivate", "3900").is_done
    assert "at version 2 by now, not 1" in office.change("deactivate", "1120").detail


def test_an_account_when_it_has_a_balance_is_not_closed_and_the_books_go_on(
    office: Office, fill: Callable[..., OrderFilled]
) -> None:
    assert office.change("add", "3050", name="Partner", parent="3000", account_type="EQUITY").is_done
    office.journal.hear(fill("BUY", "AAPL", NANOS, 100_000_000))
    _put_into_suspense(office, 5_000_000)
    assert office.order(ExplainSuspense, amount_micros=5_000_000, account="3050").is_done
    outcome = office.change("deactivate", "3050", version=2)
    assert (outcome.is_done, "an account with a balance may not be closed" in outcome.detail) == (False, True)
    assert len(office.journal.hear(fill("BUY", "AAPL", NANOS, 100_000_000))) == 1


# --- entries -----------------------------------------------------------------------------------------------------


def test_an_entry_when_taken_back_is_negated_once_and_in_the_file(office: Office, ledger: Path, identity: Any) -> None:
    outcome = office.order(ReverseEntry, entry_seq=5)
    assert outcome.detail.startswith("Entry 6: Reversal of entry 5")
    assert "for the test (olga)" in outcome.detail
    again = office.order(ReverseEntry, entry_seq=5, command_id="c2")
    assert not again.is_done
    assert office.order(ReverseEntry, entry_seq=77).detail == "there is no entry 77"
    office.journal.assembly.shell.close()
    book = open_book(ledger, identity, may_write=False)
    assert [entry.reverses_seq for entry in book.entries()] == [0, 0, 0, 0, 0, 5]
    book.close()
    assert verify_file(ledger).faults == ()


def test_an_entry_when_later_sales_stand_on_it_is_not_taken_back_and_nothing_is_suspended(office: Office) -> None:
    outcome = office.order(ReverseEntry, entry_seq=2)
    assert "take back 4, 3 first, the newest first" in outcome.detail
    assert (office.journal.state.suspended, len(office.journal.events)) == ({}, 5)


def _put_into_suspense(office: Office, amount_micros: int) -> EntryPosted:
    event = SuspenseBooked(
        broker="PAPER", key="r1", ts_ns=COMMON["ts_event"], told_ns=COMMON["ts_event"], amount_micros=amount_micros,
        reason="the broker has more",
    )  # fmt: skip
    deciding = Deciding(office.journal)
    events = office.journal.assembly.core.book(office.journal.state, event, COMMON["ts_event"])
    deciding.follow(events)
    return events[-1]


def test_a_difference_when_explained_leaves_suspense_for_its_account(office: Office) -> None:
    _put_into_suspense(office, 7_000_000)
    assert office.order(ExplainSuspense, amount_micros=7_000_000, account="3090").is_done
    rows = {row[0]: row[8] for row in office.ask("accounts", rows_max=200).rows}
    assert (rows["1900"], rows["3090"]) == (0, -7_000_000)
    assert office.ask("reconciliation").totals[0][-1] is True


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("8888", "there is no account 8888"),
        ("1210", "takes no dollars"),
        ("3000", "takes no dollars"),
        ("1120", "is ASSET"),
        (accounts.GAIN_SHORT_TERM, "none of gains"),
    ],
)
def test_a_difference_when_it_cannot_belong_there_stays_in_suspense(office: Office, account: str, words: str) -> None:
    outcome = office.order(ExplainSuspense, amount_micros=7_000_000, account=account)
    assert not outcome.is_done
    assert words in outcome.detail


def test_a_command_when_it_is_another_services_is_refused(office: Office) -> None:
    assert office.order(ReconcileNow).detail == "ledger does not do ReconcileNow"


def test_a_command_when_the_ledger_is_not_open_is_refused(office: Office) -> None:
    office.journal.assembly.shell.close()
    assert "is not open" in office.change("rename", "1010", name="x").detail
