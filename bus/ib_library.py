"""The one door to Interactive Brokers' Python library: `ib_insync`, or `ib_async`, which continues it.

IBKR_LIBRARY chooses. Nothing is imported before `load_ib_library` is called, so only a process that talks to the
broker pays for it. What both libraries get wrong for every caller is put right here:

* A time with a zone that this machine does not know, such as "Central European Standard Time", makes both of them drop
  the whole message: an execution would be lost. Here every zone name leads to a zone.
* A time without a zone is taken for this machine's local time; here it is taken for UTC.
* Asked for a contract that does not exist, one answers an empty list and the other a list of None.

Both bring a package `eventkit`, from two distributions that overwrite each other; either copy serves either library.
"""

import asyncio
import importlib
import logging
from collections.abc import Iterable
from datetime import datetime
from types import ModuleType
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

IbLibraryName = Literal["ib_insync", "ib_async"]

IB_LIBRARIES: Final[tuple[IbLibraryName, ...]] = ("ib_insync", "ib_async")
#: Both put this value where there is no number, such as a profit that is not known.
#: Source: ib_insync 0.9.86 and ib_async 2.1.0, util.py, UNSET_DOUBLE; Interactive Brokers sends 1.797e308 as well.
UNSET_ABOVE: Final = 1e300
#: Zone names as Windows writes them, which a gateway on Windows sends, and what they are called elsewhere.
#: Source: Unicode CLDR 46, windowsZones.xml, territory 001 (2024-10), those where gateways are run.
_WINDOWS_ZONES: Final = {
    "AUS Eastern Standard Time": "Australia/Sydney",
    "Atlantic Standard Time": "America/Halifax",
    "Central Europe Standard Time": "Europe/Budapest",
    "Central European Standard Time": "Europe/Warsaw",
    "Central Standard Time": "America/Chicago",
    "China Standard Time": "Asia/Shanghai",
    "Coordinated Universal Time": "UTC",
    "E. Europe Standard Time": "Europe/Chisinau",
    "Eastern Standard Time": "America/New_York",
    "Eastern Daylight Time": "America/New_York",
    "FLE Standard Time": "Europe/Kiev",
    "GMT Standard Time": "Europe/London",
    "GTB Standard Time": "Europe/Bucharest",
    "Greenwich Mean Time": "Etc/GMT",
    "Greenwich Standard Time": "Atlantic/Reykjavik",
    "India Standard Time": "Asia/Calcutta",
    "Israel Standard Time": "Asia/Jerusalem",
    "Japan Standard Time": "Asia/Tokyo",
    "Mountain Standard Time": "America/Denver",
    "Pacific Standard Time": "America/Los_Angeles",
    "Romance Standard Time": "Europe/Paris",
    "Russian Standard Time": "Europe/Moscow",
    "Singapore Standard Time": "Asia/Singapore",
    "Tokyo Standard Time": "Asia/Tokyo",
    "US Eastern Standard Time": "America/Indianapolis",
    "UTC": "UTC",
    "W. Europe Standard Time": "Europe/Berlin",
    # Abbreviations that a Java gateway writes; the zone database knows EST as a place that never has summer time.
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "CST": "America/Chicago",
    "PST": "America/Los_Angeles",
    "BST": "Europe/London",
    "CET": "Europe/Paris",
    "JST": "Asia/Tokyo",
}
_UTC: Final = ZoneInfo("UTC")
_log = logging.getLogger(__name__)
_unknown_zones: set[str] = set()


class IbLibrary(Struct, frozen=True, kw_only=True):
    """One of the two libraries, ready for use: `package` holds their common names, such as `Stock` and `Order`.

    The values behind those names are typed by neither of them strictly, so they are Any here; whoever uses them turns
    what it takes into types of its own at once.
    """

    name: IbLibraryName
    package: ModuleType

    def new_ib(self) -> Any:
        """Return a new `IB`, not connected, that takes a time without a zone for UTC."""
        ib = self.package.IB()
        ib.TimezoneTWS = "UTC"
        return ib

    def new_client(self, wrapper: object) -> Any:
        """Return a new `Client`: the protocol alone, which calls the methods of `wrapper` with what it hears.

        It never holds a message back: whoever sends is itself to keep below 50 messages in a second.
        """
        client = self.package.client.Client(wrapper)
        # A queue inside the library would write an order long after whoever sent it gave it up.
        client.MaxRequests = 0
        return client

    def stock(self, symbol: str, *, primary_exchange: str = "") -> Any:
        """Return the contract of a US share, routed by SMART in dollars; `symbol` as everywhere here, such as BRK.B."""
        return self.package.Stock(
            symbol.replace(".", " "), exchange="SMART", currency="USD", primaryExchange=primary_exchange
        )

    def option(self, occ_symbol: str) -> Any:
        """Return the contract of a listed US option by its OCC symbol, such as AAPL251219P00150000."""
        contract = self.package.Contract()
        contract.secType = "OPT"
        # Interactive Brokers' local symbol is the OCC symbol with the root padded to six characters.
        contract.localSymbol = f"{occ_symbol[:-15].strip():<6}{occ_symbol[-15:]}"
        contract.exchange = "SMART"
        contract.currency = "USD"
        return contract


def load_ib_library(name: str) -> IbLibrary:
    """Import the library that IBKR_LIBRARY names and put its time zones right.

    Raises:
        ValueError: it is neither of the two.
    """
    known = next((library for library in IB_LIBRARIES if library == name), None)
    if known is None:
        raise ValueError(f"IBKR_LIBRARY is '{name}': choose one of {', '.join(IB_LIBRARIES)}")
    package = _imported(known)
    package.util.ZoneInfo = zone_named
    package.decoder.ZoneInfo = zone_named
    return IbLibrary(name=known, package=package)


def zone_named(name: str) -> ZoneInfo:
    """Return the zone of any name that a gateway sends; UTC for one that nobody knows, and say so once."""
    known = _WINDOWS_ZONES.get(name.strip(), name.strip())
    try:
        return ZoneInfo(known)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if name not in _unknown_zones:
            _unknown_zones.add(name)
            _log.warning("the gateway's time zone '%s' is not known here, so its times are taken for UTC", name)
        return _UTC


def qualified(contracts: Iterable[Any]) -> list[Any]:
    """Return those contracts that `qualifyContracts` found, whichever library answered."""
    return [contract for contract in contracts if contract is not None and contract.conId]


def utc_ns_of(time: datetime) -> int:
    """Return a time that a library gave, with its zone, in nanoseconds since 1970 UTC; a second is its finest step."""
    return int(time.timestamp()) * 1_000_000_000


def _imported(name: IbLibraryName) -> ModuleType:
    """Import a library in any thread: the older `eventkit` asks for a thread's event loop while it is imported."""
    policy = asyncio.get_event_loop_policy()
    try:
        # A loop that runs is the one it wants; there is nothing to lend.
        asyncio.get_running_loop()
    except RuntimeError:
        loop = policy.new_event_loop()
        policy.set_event_loop(loop)
        try:
            return importlib.import_module(name)
        finally:
            policy.set_event_loop(None)
            loop.close()
    return importlib.import_module(name)
