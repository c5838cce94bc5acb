"""The demonstration of the long-term holdings: two sessions of the real processes, a night and a rebalance.

`make demo NIGHT=1` runs it. The first session ends with the night that buys the funds; the second is three months
later, when a rebalance is due.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from bus.messages import MICROS, GainsAllocated, HoldingsOrderRequested, NightEnded, OrderFilled
from bus.processes import Chain
from bus.store import read_journal
from config.holdings import HoldingsSettings
from config.paths import HomePaths
from config.vault import Vault
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage, StageError
from services.holdings.audit_record import AuditFolder

FUNDS: Final[dict[str, str]] = {"IWM": "60", "QQQ": "40"}
HOLDINGS: Final[dict[str, Any]] = {"is_enabled": True, "etfs": FUNDS, "rebalance_months": 3}
FIRST_DAY, SECOND_DAY = "2025-03-10", "2025-06-10"
#: Times real time: the window of four minutes then lasts half a second, and a night needs a tenth of that.
SPEED: Final = "240"
_NIGHT_TIMEOUT_S: Final = 600
_RECORD_TIMEOUT_S: Final = 10
_POLL_S: Final = 0.1


class NightStage:
    """A chain on a fresh home whose holdings are set; each session is one day of it.

    Args:
        paths: the home.
        port: the web UI's port.
        settings: those of the first session.
    """

    def __init__(self, paths: HomePaths, port: int, settings: dict[str, str]) -> None:
        self.paths = paths
        self.stage = Stage(paths, port)
        self._settings = settings

    @property
    def chain(self) -> Chain:
        """Return the processes."""
        return self.stage.chain

    def begin(self) -> None:
        """Configure the home, set the holdings, arm the first session."""
        self.stage.configure(self._settings, DEMO_IDENTITY)
        HoldingsSettings.from_vault(HOLDINGS)
        self._start_anew(holdings=HOLDINGS)
        self.stage.arm("night")

    def go_on(self, day: str) -> None:
        """Let the same home play another day: other settings, new processes, armed again."""
        self._start_anew(settings={**Vault(self.paths).open().settings, "MARKET_DATA_DATE": day})
        self.stage.arm("rebalance")

    def _start_anew(self, **changes: Any) -> None:
        """Stop the processes, change the secrets, start them again: a chain keeps to what it was started with."""
        self.stage.stop()
        vault = Vault(self.paths)
        secrets = vault.open()
        vault.replace(replace(secrets, **changes), secrets.generation)
        self.stage.resume()

    def wait_for_night(self, day: str) -> NightEnded:
        """Wait until the night of a session has ended.

        Raises:
            StageError: it has not in time, or a session is over without one.
        """
        end = time.monotonic() + _NIGHT_TIMEOUT_S
        while time.monotonic() < end:
            found = [one for one in self.journal() if isinstance(one, NightEnded) and one.session_date == day]
            if found:
                return found[-1]
            time.sleep(_POLL_S)
        raise StageError(f"The night of {day} did not end in {_NIGHT_TIMEOUT_S} s: see {self.paths.logs}.")

    def journal(self, service: str = "holdings") -> list[Any]:
        """Return what a service has decided so far."""
        path = self.paths.state / f"{service}.db"
        return list(read_journal(path)) if path.exists() else []


def settings_of(choice: SessionChoice) -> dict[str, str]:
    """Return the settings of the first session."""
    chosen = choice.settings()
    return {**chosen, "MARKET_DATA_DATE": choice.date or FIRST_DAY, "MARKET_DATA_SPEED": choice.speed or SPEED}


def play(stage: NightStage, say: Callable[[str], None]) -> int:
    """Play both sessions, say what each night did, and check the books; return 0, or 1 when something differs."""
    stage.begin()
    faults = []
    for day in (FIRST_DAY, SECOND_DAY):
        if day != FIRST_DAY:
            stage.go_on(day)
        ended = stage.wait_for_night(day)
        say(f"\nNight of {day}: {ended.outcome.lower()} {ended.detail}".rstrip())
        for line in night_lines(stage, day):
            say(f"  {line}")
        stage.stage.wait_for_end(120)
        faults += book_faults(stage)
    records = AuditFolder(stage.paths.output / DEMO_IDENTITY.bot_identity / "holdings")
    faults += records.faults()
    say(f"\nRecords     {records.records()[-1].parent}")
    say("Books       " + ("; ".join(faults) or "the ledger, the broker and the records of the nights agree"))
    return 1 if faults else 0


def night_lines(stage: NightStage, day: str) -> list[str]:
    """Return what a night did, in the words of its record."""
    folder = AuditFolder(stage.paths.output / DEMO_IDENTITY.bot_identity / "holdings")
    end = time.monotonic() + _RECORD_TIMEOUT_S
    # The record is written right after the end of the night is in the journal.
    while time.monotonic() < end:
        for path in folder.records():
            record = json.loads(path.read_bytes())
            if record["session_date"] == day:
                return [_action_text(action) for action in record["actions"]] or ["nothing was to be done"]
        time.sleep(_POLL_S)
    return ["there is no record of it"]


def book_faults(stage: NightStage) -> list[str]:
    """Return what differs between what was asked for, filled, set aside and booked; each thing is there once."""
    asked = [one.intent_id for one in stage.journal() if isinstance(one, HoldingsOrderRequested)]
    fills = [one for one in stage.journal("execution") if isinstance(one, OrderFilled) and one.leg == "fund"]
    ledger = [msgspec.to_builtins(one) for one in stage.journal("ledger")]
    booked = [one["source_event_id"] for one in ledger if one["type"] == "EntryPosted"]
    allocations = [one for one in stage.journal() if isinstance(one, GainsAllocated)]
    set_aside = sum(one.tax_funded_micros + one.payroll_funded_micros for one in allocations)
    reserves = sum(
        line[2]
        for one in ledger
        if one["type"] == "EntryPosted"
        for line in one["lines"]
        if line[0] in {"1030", "1040"}
    )
    faults = []
    if len(asked) != len(set(asked)):
        faults.append("an order was asked for twice")
    if len(booked) != len(set(booked)):
        faults.append("an event was booked twice")
    if missing := [fill.execution_id for fill in fills if f"PAPER:{fill.execution_id}:FILL" not in booked]:
        faults.append(f"not booked: {', '.join(missing)}")
    if set_aside != reserves:
        faults.append(f"{set_aside} micro-dollars were set aside and the reserves hold {reserves}")
    return faults


def _action_text(action: dict[str, Any]) -> str:
    total = f"${action['total_micros'] / MICROS:,.2f}"
    shares = f"{action['qty_nanos'] / 10**9:.9f} {action['symbol']} for " if action["symbol"] else ""
    cash = f"${action['cash_micros'] / MICROS:,.2f}"
    return f"{action['action'].replace('_', ' ').lower():<20}{shares}{total}; cash then {cash}; {action['context']}"
