"""The routines of TEST_MODE in their order: the name of each, how long it may take, what to do when it fails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from replay.selftest.books import backup_restore, ofx_reread
from replay.selftest.chain import bus_up, halt_rearm, signal_to_ledger
from replay.selftest.ground import Ground
from replay.selftest.outside import broker_dry_run, notification
from replay.selftest.untouched import production_untouched


@dataclass(frozen=True)
class Routine:
    """One routine. `does` returns what it has shown, or raises; `needs` are those that must have passed before it."""

    name: str
    title: str
    limit_s: int
    todo: str
    does: Callable[[Ground], str]
    needs: tuple[str, ...] = ()


ROUTINES: Final[tuple[Routine, ...]] = (
    Routine(
        name="bus_up",
        title="Bus up",
        limit_s=180,
        todo="Read the log: it ends with what each service wrote last. A home that is too deep, a full disk or a "
        "machine under load are the usual reasons; 'python -m config doctor' looks for all three.",
        does=bus_up,
    ),
    Routine(
        name="broker_dry_run",
        title="Broker dry run",
        limit_s=90,
        todo="Do not arm this build: its adapter does not keep its promises. Go back to the version before.",
        does=broker_dry_run,
    ),
    Routine(
        name="halt_rearm",
        title="Halt and re-arm",
        limit_s=240,
        todo="Do not arm: a halt must stop this build before it trades. Go back to the version before.",
        does=halt_rearm,
        needs=("bus_up",),
    ),
    Routine(
        name="signal_to_ledger",
        title="Signal to ledger",
        limit_s=330,
        todo="Do not arm this build. The log names what is missing between signal and entry.",
        does=signal_to_ledger,
        needs=("bus_up",),
    ),
    Routine(
        name="ofx",
        title="OFX export and re-read",
        limit_s=120,
        todo="Take no export of this build into your accounting; the log says which figures differ.",
        does=ofx_reread,
        needs=("signal_to_ledger",),
    ),
    Routine(
        name="backup_restore",
        title="Backup and restore",
        limit_s=240,
        todo="Until this passes, nothing promises that a lost ledger comes back: look for free disk space first.",
        does=backup_restore,
        needs=("signal_to_ledger",),
    ),
    Routine(
        name="notification",
        title="Notification",
        limit_s=120,
        todo="Alerts may not reach you: look at the settings of mail and webhook, and at what the log says of them.",
        does=notification,
        needs=("signal_to_ledger",),
    ),
    Routine(
        name="production_untouched",
        title="Production untouched",
        limit_s=600,
        todo="If you armed, stopped or saved something while the tests ran, or the running chain had work of its own, "
        "such as a night of the holdings, that is what changed: run them again. If not, keep the files as they are and "
        "do not arm.",
        does=production_untouched,
    ),
)
