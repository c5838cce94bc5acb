"""The one door to Interactive Brokers' library: zones, contracts, and that nobody else pays for it."""

import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from bus.ib_library import IB_LIBRARIES, IbLibrary, load_ib_library, qualified, utc_ns_of, zone_named


@pytest.fixture(params=IB_LIBRARIES)
def library(request: pytest.FixtureRequest) -> IbLibrary:
    return load_ib_library(request.param)


def test_load_when_name_is_unknown_then_error_names_the_choices() -> None:
    with pytest.raises(ValueError, match="IBKR_LIBRARY is 'ibapi': choose one of ib_insync, ib_async"):
        load_ib_library("ibapi")


def test_import_when_nothing_is_loaded_then_neither_library_is_imported() -> None:
    code = "import sys, bus.ib_library; print([n for n in sys.modules if n in ('ib_insync', 'ib_async', 'eventkit')])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize("name", IB_LIBRARIES)
def test_load_when_a_thread_has_no_event_loop_then_it_is_imported(name: str) -> None:
    code = (
        "import threading, bus.ib_library as b\n"
        f"def f(): print(b.load_ib_library('{name}').name)\n"
        "t = threading.Thread(target=f); t.start(); t.join()"
    )
    said = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=False, text=True)
    assert said.stdout.strip() == name, said.stderr


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("20250701 16:00:00 US/Eastern", 20),
        ("20250701 16:00:00 Central European Standard Time", 14),
        ("20250701 16:00:00 Eastern Standard Time", 20),
        ("20250701 16:00:00 EST", 20),
        ("20250701 16:00:00 Europe/Amsterdam", 14),
        ("20250701 16:00:00 Middle Earth Time", 16),
        ("20250701 16:00:00 ../../etc/passwd", 16),
    ],
)
def test_time_when_a_gateway_names_its_zone_then_it_is_read(library: IbLibrary, text: str, hour: int) -> None:
    read = library.package.util.parseIBDatetime(text)
    assert read.astimezone(UTC) == datetime(2025, 7, 1, hour, tzinfo=UTC)


def test_zone_when_it_is_unknown_then_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    assert zone_named("Shire Time").key == zone_named("Shire Time").key == "UTC"
    assert [record.getMessage() for record in caplog.records] == [
        "the gateway's time zone 'Shire Time' is not known here, so its times are taken for UTC"
    ]


def test_new_ib_when_a_time_has_no_zone_then_it_is_taken_for_utc(library: IbLibrary) -> None:
    assert library.new_ib().TimezoneTWS == "UTC"


def test_new_client_when_made_then_it_never_holds_a_message_back(library: IbLibrary) -> None:
    class Wrapper:
        pass

    assert library.new_client(Wrapper()).MaxRequests == 0


def test_stock_when_symbol_has_a_class_then_it_is_written_as_interactive_brokers_does(library: IbLibrary) -> None:
    contract = library.stock("BRK.B", primary_exchange="NYSE")
    assert (contract.symbol, contract.secType, contract.exchange) == ("BRK B", "STK", "SMART")
    assert (contract.currency, contract.primaryExchange) == ("USD", "NYSE")


def test_option_when_occ_symbol_is_given_then_local_symbol_is_padded(library: IbLibrary) -> None:
    contract = library.option("AAPL251219P00150000")
    assert (contract.secType, contract.localSymbol) == ("OPT", "AAPL  251219P00150000")


def test_qualified_when_contract_is_unknown_then_both_answers_are_no_contract(library: IbLibrary) -> None:
    found = library.stock("AAPL")
    found.conId = 265598
    assert qualified([]) == []
    assert qualified([None]) == []
    assert qualified([found]) == [found]


def test_utc_ns_when_time_has_a_zone_then_it_is_counted_from_1970() -> None:
    assert utc_ns_of(datetime(2025, 7, 1, tzinfo=UTC)) == 1_751_328_000_000_000_000


def test_load_when_called_in_many_threads_then_all_get_the_same_package() -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(load_ib_library("ib_async").package)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert len(found) == 4
