"""The world of the holdings: a timer while the books lack something, and the record of each night on disk."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bus.assembly import Assembly, CannotStartError, Setup
from bus.clock import boot_ns
from bus.commands import Deciding, Outcome, refuse_request
from bus.decider import Shell
from bus.failpoints import Failpoint
from bus.messages import (
    GainsAllocated,
    HoldingsOrderEnded,
    HoldingsOrderRequested,
    HoldingsRunAsked,
    Message,
    NightBegan,
    NightEnded,
    OperatorRequest,
    PreviewHoldings,
    ReservePaidOut,
    RunHoldings,
)
from config.holdings import HoldingsSettingsError
from services.holdings.audit_record import AuditError, AuditFolder
from services.holdings.core import AskAgain, HoldingsCore, HoldingsState
from services.holdings.settings import ServiceSettings

logger = logging.getLogger(__name__)
#: How long the books are given before they are asked again for a fill that is on its way, in boot time.
ASK_AGAIN_NS: Final = 250_000_000
_RECORD: Final = Failpoint("holdings.record")
#: The steps of a run, each once it is committed and before what follows from it is done.
_STEPS: Final[dict[type[Message], Failpoint]] = {
    NightBegan: Failpoint("holdings.begun"),
    GainsAllocated: Failpoint("holdings.allocated"),
    HoldingsOrderRequested: Failpoint("holdings.ordered"),
    HoldingsOrderEnded: Failpoint("holdings.filled"),
}


class HoldingsShell(Shell[HoldingsState]):
    """Asks again where the books lack something, and writes each night's record once.

    Args:
        core: what decides; it is asked for previews.
        folder: where the records are.
        head: the file in which the ledger keeps its head, outside of its own.
        clock: boot time.
    """

    def __init__(self, core: HoldingsCore, folder: Path, head: Path, clock: Callable[[], int] = boot_ns) -> None:
        self._core = core
        self._records = AuditFolder(folder)
        self._head = head
        self._boot_ns = clock
        self._asked_ns = 0

    def on_start(self, state: HoldingsState, now_ns: int) -> Sequence[Message]:
        """Write the record of a night that had ended when a crash came.

        Raises:
            CannotStartError: a record is missing or was changed, or the disk refuses one.
        """
        if faults := list(self._records.faults()):
            raise CannotStartError(f"The records of the holdings are not as they were written: {faults[0]}")
        self._keep(state)
        return ()

    def after_commit(self, state: HoldingsState, event: Message, now_ns: int) -> Sequence[Message]:
        """Write the record of a night that has ended, or of a payout."""
        if (step := _STEPS.get(type(event))) is not None:
            with step:
                pass
        if isinstance(event, NightEnded | ReservePaidOut):
            self._keep(state)
        return ()

    def on_idle(self, state: HoldingsState, now_ns: int) -> Sequence[Message]:
        """Ask the books again while they lack what this night has ordered."""
        run = state.run
        if run is None or run.books is None or not run.books.missing:
            return ()
        if self._boot_ns() - self._asked_ns < ASK_AGAIN_NS:
            return ()
        self._asked_ns = self._boot_ns()
        return (AskAgain(ts_event=now_ns, ts_init=now_ns),)

    def on_request(self, request: OperatorRequest, deciding: Deciding) -> Outcome:
        """Carry out an operator's wish for a run, or say what one would do."""
        state: HoldingsState = deciding.state
        match request:
            case PreviewHoldings():
                lines = self._core.preview(state, is_rebalance=request.is_rebalance)
                if not lines:
                    return Outcome(is_done=False, detail="nothing is known before the first night, or one is under way")
                return Outcome(is_done=True, detail="; ".join(lines)[:400], body=msgspec.json.encode(lines))
            case RunHoldings():
                asked = HoldingsRunAsked(
                    ts_event=request.ts_event,
                    ts_init=request.ts_init,
                    operator=request.operator,
                    reason=request.reason,
                    is_rebalance=request.is_rebalance,
                )
                events = deciding.decided(asked)
                if not events:
                    return Outcome(is_done=False, detail="the holdings are switched off")
                deciding.follow(events)
                when = "begins now" if len(events) > 1 else "is done in the next window, before the close of a session"
                return Outcome(is_done=True, detail=f"The run {when}")
            case _:
                return refuse_request(request, deciding)

    def _keep(self, state: HoldingsState) -> None:
        """Write what has no record yet: the night that has ended last, and the newest payout."""
        kept: list[tuple[int, tuple[Message, ...]]] = []
        if state.run is None and state.record and isinstance(state.record[-1], NightEnded):
            kept.append((state.record_number, state.record))
        if state.paid is not None:
            kept.append((state.paid_number, (state.paid,)))
        for number, events in sorted(kept, key=lambda one: one[0]):
            if self._records.has(number):
                continue
            try:
                with _RECORD:
                    path = self._records.write(number, events, self._ledger_head())
            except AuditError as error:
                raise CannotStartError(str(error)) from error
            logger.info("record %d of the holdings is %s", number, path)

    def _ledger_head(self) -> str:
        try:
            return self._head.read_text(encoding="ascii").strip()
        except OSError:
            # A replay's ledger keeps no head; the record says so by an empty text.
            return ""


def build(setup: Setup) -> Assembly[HoldingsState]:
    """Return the holdings service for these settings.

    Raises:
        CannotStartError: the settings of the holdings have faults.
    """
    try:
        settings = ServiceSettings.read(setup.holdings, setup.env)
    except HoldingsSettingsError as error:
        raise CannotStartError(str(error)) from error
    folder = setup.paths.output / setup.identity.bot_identity / "holdings"
    head = setup.paths.state / f"{Path(setup.identity.ledger_file).stem}.head"
    core = HoldingsCore(settings)
    shell = HoldingsShell(core, folder, head)
    return Assembly(core=core, shell=shell, on_request=shell.on_request)
