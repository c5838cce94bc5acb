"""The judge of a night of the holdings. It reads the ledger's file, the records on disk and the broker's fills.

Nothing of a night may be doubled or lost: each fill and each reserve is in the books once and in the record of its
run once, the records are a chain without a gap, and no more is set aside than was gained.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim.broker import BrokerHouse
from sim.market import FUNDS
from sim.services_under_test import IDENTITY

from config.paths import HomePaths

_GENESIS: Final = "0" * 64
_READ_ONLY: Final = 0o444
_RESERVES: Final = ("1030", "1040")
#: What the gains are booked on, less what trading costs.
_GAINS: Final = ("4010", "4020", "4030", "4040", "5010", "5020")
#: The settings of the simulated home: 20 % of the gains for tax, 20 % of the rest for payroll.
_PART_PPM: Final = 360_000
_MILLION: Final = 1_000_000
#: Each allocation is rounded to the cent twice.
_ROUNDING_MICROS: Final = 10_000


@dataclass
class NightBooks:
    """What a night has left on disk.

    `moved` is the change of the reserves by source event, `gains` each entry's gain in order, both in micro-dollars;
    `reserves` are the balances after each entry, and `ended` how many runs the holdings' own journal has ended.
    """

    records: list[tuple[str, dict[str, Any]]]
    chain_faults: list[str]
    moved: list[tuple[str, int]]
    gains: list[int]
    lowest_micros: int
    units: dict[str, int]

    @property
    def actions(self) -> frozenset[str]:
        """Return the kinds of what was done, in the words of the records."""
        return frozenset(str(action["action"]) for _, record in self.records for action in record["actions"])


def read_night(paths: HomePaths, ledger: Path) -> NightBooks:
    """Read the records and the ledger's file, without any of the bot's own readers."""
    folder = paths.output / IDENTITY.bot_identity / "holdings"
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT t.source_event_id, p.account_code, p.commodity, p.amount"
            " FROM tx t JOIN posting p ON p.tx_seq = t.seq ORDER BY t.seq, p.line_no"
        ).fetchall()
    moved: Counter[str] = Counter()
    gains: Counter[str] = Counter()
    units: Counter[str] = Counter()
    balance: Counter[str] = Counter()
    lowest = 0
    for source, account, commodity, amount in rows:
        gains[source] -= amount if account in _GAINS else 0
        if account in _RESERVES:
            moved[source] += amount
            balance[account] += amount
            lowest = min(lowest, balance[account])
        if account == "9010":
            units[commodity] += amount
    return NightBooks(
        records=[(path.name, json.loads(path.read_bytes())) for path in files],
        chain_faults=list(_chain_faults(files)),
        moved=list(moved.items()),
        gains=list(gains.values()),
        lowest_micros=lowest,
        units=dict(units),
    )


def cash_in_books(ledger: Path) -> int:
    """Return the account's cash by the books in micro-dollars: with the reserves, and what was paid out of them.

    No payout leaves this broker.
    """
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        [(found,)] = db.execute(
            "SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code IN ('1010', '1030', '1040', '5120')"
        ).fetchall()
    return int(found)


def _chain_faults(files: list[Path]) -> Iterator[str]:
    previous = _GENESIS
    for number, path in enumerate(files, 1):
        content = path.read_bytes()
        if not path.name.startswith(f"{number:06d}-"):
            yield f"{path.name} is record {number}: one is missing"
        if json.loads(content)["prev_sha256"] != previous:
            yield f"{path.name} does not follow from the record before it"
        if path.stat().st_mode & 0o777 != _READ_ONLY:
            yield f"{path.name} can be written over"
        previous = hashlib.sha256(content).hexdigest()


def night_faults(night: NightBooks, house: BrokerHouse) -> Iterator[str]:
    """Yield what was doubled, lost, or set aside without a gain."""
    yield from night.chain_faults
    yield from _record_faults(night, house)
    if night.lowest_micros < 0:
        yield f"a reserve was {night.lowest_micros} micro-dollars for a time"
    allocated = [amount for _, amount in night.moved if amount > 0]
    most = _highest_rise(night.gains) * _PART_PPM // _MILLION + len(allocated) * _ROUNDING_MICROS
    if sum(allocated) > most:
        yield f"{sum(allocated)} micro-dollars were set aside of gains that allow {most}"
    for symbol in FUNDS:
        held, booked = house.positions.get(symbol, 0), night.units.get(symbol, 0)
        filled = sum(_signed(fill) for fill in house.fills if fill.order.request.symbol == symbol)
        if held != filled or held < 0:
            yield f"the broker holds {held} of {symbol}, its fills say {filled}"
        if booked != held:
            yield f"the books have {booked} of {symbol}, the broker {held}"


def _record_faults(night: NightBooks, house: BrokerHouse) -> Iterator[str]:
    """Every id in a record is in the books once, and every fund's fill of a recorded run is in its record once."""
    runs = [str(record["run_id"]) for _, record in night.records]
    yield from (f"run {run} has {count} records" for run, count in Counter(runs).items() if count > 1)
    ids = Counter(one for _, record in night.records for action in record["actions"] for one in action["ids"])
    yield from (f"{one} is in the records {count} times" for one, count in ids.items() if count > 1)
    booked = {source.split(":", 1)[1].rsplit(":", 1)[0]: amount for source, amount in night.moved}
    fills = {fill.execution_id: fill for fill in house.fills if fill.order.request.symbol in FUNDS}
    yield from (f"{one} is in a record and nowhere else" for one in ids if one not in booked and one not in fills)
    for one, amount in booked.items():
        run = one.removeprefix("holdings-").rsplit("-", 2)[0]
        if amount and (run in runs or one.startswith("payout-")) and not ids[one]:
            yield f"{one} is in the books and in no record"
    for _, record in night.records:
        for action in record["actions"]:
            total = sum(abs(fills[one].cash_micros) for one in action["ids"] if one in fills)
            if action["symbol"] and total != action["total_micros"]:
                yield f"{action['ids']} is {action['total_micros']} in its record and {total} at the broker"


def _highest_rise(gains: list[int]) -> int:
    """Return the largest rise of the cumulative gain: the holdings may begin to count anywhere."""
    cumulative = lowest = rise = 0
    for gain in gains:
        cumulative += gain
        lowest = min(lowest, cumulative)
        rise = max(rise, cumulative - lowest)
    return rise


def _signed(fill: Any) -> int:
    qty: int = fill.qty_nanos
    return qty if fill.order.request.side == "BUY" else -qty
