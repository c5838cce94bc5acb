"""Mistakes in the holdings, planted one by one: the judge of the nights has to catch each."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from msgspec import structs
from sim.faults import PROFILES
from sim.mutants import Mutant

from bus.messages import GainsAllocated
from services.holdings.audit_record import AuditFolder
from services.holdings.core import HoldingsCore, HoldingsState
from services.ledger import holdings_facts


def _gains_counted_every_time(stack: ExitStack) -> None:
    """An allocation does not move the mark, so that the next one takes the same gain again."""
    evolve = HoldingsCore.evolve

    def careless(self: HoldingsCore, state: HoldingsState, event: Any) -> HoldingsState:
        after = evolve(self, state, event)
        before = state.gain_mark_micros
        if isinstance(event, GainsAllocated) and before is not None:
            return structs.replace(after, gain_mark_micros=before)
        return after

    stack.enter_context(patch.object(HoldingsCore, "evolve", careless))


def _payout_beyond_the_reserve(stack: ExitStack) -> None:
    """Whatever is asked for is paid out."""
    stack.enter_context(patch.object(holdings_facts, "payout_fault", lambda *_args: ""))


def _records_in_no_chain(stack: ExitStack) -> None:
    """A record does not say what came before it."""
    stack.enter_context(patch.object(AuditFolder, "_previous", lambda *_args: "0" * 64))


def _record_written_over(stack: ExitStack) -> None:
    """A record stays writable."""

    def put(_self: AuditFolder, path: Path, content: bytes) -> None:
        path.write_bytes(content)

    stack.enter_context(patch.object(AuditFolder, "_put", put))


def _payouts_leave_no_record(stack: ExitStack) -> None:
    """The ledger books a payout, and the holdings do not write it down."""
    evolve = HoldingsCore.evolve

    def careless(self: HoldingsCore, state: HoldingsState, event: Any) -> HoldingsState:
        after = evolve(self, state, event)
        return structs.replace(after, paid=None, records=state.records) if after.paid is not state.paid else after

    stack.enter_context(patch.object(HoldingsCore, "evolve", careless))


NIGHT_MUTANTS: Final = tuple(
    Mutant(plant, {}, base=PROFILES["night_calm"])
    for plant in (
        _gains_counted_every_time,
        _payout_beyond_the_reserve,
        _records_in_no_chain,
        _record_written_over,
        _payouts_leave_no_record,
    )
)
