"""The processes that an arm record was given to, across restarts of the watchdog."""

from pathlib import Path

import pytest

from bus.boot_book import BOOTS_FILE, BootBook
from bus.halt import ArmRecord
from bus.messages import ServiceName

BOTH: tuple[ServiceName, ...] = ("risk", "ledger")
OLD: dict[ServiceName, str] = {"risk": "r1", "ledger": "l1"}


def _arm(at: str = "2026-01-01T00:00:00.000Z") -> ArmRecord:
    return ArmRecord(operator="ann", reason="test", armed_at_utc=at, halt_counter=0, generation=1, build="b1")


def _armed(folder: Path) -> BootBook:
    """Return the book of a watchdog that saw the arming of both services."""
    book = BootBook(folder, BOTH)
    book.begin(None)
    assert book.strangers(_arm(), OLD) == ()
    return book


def _restarted(folder: Path) -> BootBook:
    book = BootBook(folder, BOTH)
    book.begin(_arm())
    assert book.refusal(_arm()) is not None, "nothing was compared yet"
    return book


def test_a_chain_when_armed_is_known_only_once_all_its_services_are_heard(tmp_path: Path) -> None:
    book = BootBook(tmp_path, BOTH)
    book.begin(None)
    assert book.refusal(None) is not None
    assert book.strangers(_arm(), {"risk": "r1"}) == ()
    assert book.refusal(_arm()) is not None
    assert book.strangers(_arm(), OLD) == ()
    assert book.refusal(_arm()) is None
    assert book.refusal(_arm("2027-01-01T00:00:00.000Z")) is not None


def test_a_chain_when_the_watchdog_alone_was_restarted_goes_on(tmp_path: Path) -> None:
    _armed(tmp_path)
    book = _restarted(tmp_path)
    assert book.strangers(_arm(), {"risk": "r1"}) == ()
    assert book.refusal(_arm()) is not None
    assert book.strangers(_arm(), OLD) == ()
    assert book.refusal(_arm()) is None


@pytest.mark.parametrize(
    ("boots", "strangers"),
    [
        ({"risk": "r2", "ledger": "l1"}, ("risk",)),
        ({"risk": "r1", "ledger": "l2"}, ("ledger",)),
        ({"risk": "r2", "ledger": "l2"}, BOTH),
        ({"ledger": "l2"}, ("ledger",)),
    ],
    ids=["watchdog and risk", "watchdog and ledger", "everything", "one is heard first"],
)
def test_a_chain_when_more_than_the_watchdog_was_restarted_is_another_one(
    tmp_path: Path, boots: dict[ServiceName, str], strangers: tuple[ServiceName, ...]
) -> None:
    _armed(tmp_path)
    book = _restarted(tmp_path)
    assert book.strangers(_arm(), boots) == strangers
    assert book.refusal(_arm()) is not None
    assert book.strangers(_arm("2026-01-02T00:00:00.000Z"), boots) == (), "armed again: these are the ones"


@pytest.mark.parametrize("content", [None, b"", b"{broken", b'{"armed":"another","boots":{}}'])
def test_a_chain_when_it_is_not_on_record_for_this_permission_is_another_one(
    tmp_path: Path, content: bytes | None
) -> None:
    _armed(tmp_path)
    if content is None:
        (tmp_path / BOOTS_FILE).unlink()
    else:
        (tmp_path / BOOTS_FILE).write_bytes(content)
    assert _restarted(tmp_path).strangers(_arm(), OLD) == BOTH


def test_a_service_when_it_joins_after_arming_belongs_to_it_and_its_restart_does_not(tmp_path: Path) -> None:
    book = BootBook(tmp_path, BOTH)
    book.begin(None)
    assert book.strangers(_arm(), {"risk": "r1"}) == ()
    assert book.strangers(_arm(), OLD) == ()
    assert book.strangers(_arm(), {"risk": "r1", "ledger": "l2"}) == ("ledger",)
    assert book.refusal(_arm()) is not None


def test_the_record_when_it_cannot_be_written_leaves_the_restart_to_an_operator(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    book = BootBook(folder, BOTH)
    book.begin(None)
    assert book.strangers(_arm(), OLD) == ()
    assert book.refusal(_arm()) is None
    assert _restarted(folder).strangers(_arm(), OLD) == BOTH
