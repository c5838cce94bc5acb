"""The control folder: arm record, halts, stop request, kill file. Any shell can stop; only the web UI arms."""

import os
import threading
from pathlib import Path

import msgspec

from bus.clock import iso_utc, utc_ns
from bus.halt import ArmRecord, ControlState, HaltRecord
from config.paths import HomePaths

ARM_FILE = "arm.json"
STOP_FILE = "control_stop.txt"
START_FILE = "control_start.txt"
KILL_FILE = "kill.txt"
_TRIES_MAX = 100


class ControlFolder:
    """Reads and writes `control/` of one home. Every write is on disk (fsync) when the call returns."""

    def __init__(self, paths: HomePaths) -> None:
        self._folder = paths.control
        self._halts = paths.halts
        self._raised: dict[str, int] = {}
        self._stamped = tuple(str(self._folder / name) for name in (ARM_FILE, STOP_FILE, KILL_FILE))

    def read(self) -> ControlState:
        """Return the present state; a file that cannot be read makes a stopped state, never an exception."""
        try:
            arm_bytes = _read_if_there(self._folder / ARM_FILE)
            names = sorted(name for name in os.listdir(self._halts) if name.endswith(".json"))
            last = msgspec.json.decode((self._halts / names[-1]).read_bytes(), type=HaltRecord) if names else None
            arm = msgspec.json.decode(arm_bytes, type=ArmRecord) if arm_bytes else None
            return ControlState(
                arm=arm,
                halt=last,
                halt_counter=last.counter if last else 0,
                is_stop_requested=(self._folder / STOP_FILE).exists(),
                is_kill_file_present=(self._folder / KILL_FILE).exists(),
            )
        except (OSError, msgspec.MsgspecError) as error:
            return ControlState(
                arm=None,
                halt=None,
                halt_counter=0,
                is_stop_requested=False,
                is_kill_file_present=False,
                fault=f"the control folder {self._folder} cannot be read: {error}",
            )

    def stamp(self) -> tuple[int, ...]:
        """Return figures that change whenever `read` could answer differently; cheap enough for each message.

        Times alone are not enough: two changes may fall into one tick of the file system's clock.
        """
        return (_halts_in(self._halts), *(figure for path in self._stamped for figure in _identity(path)))

    def raise_halt(self, source: str, rule: str, detail: str) -> HaltRecord:
        """Write the next halt record; a concurrent halt by another process gets the number after.

        Raises:
            OSError: the record could not be put on disk; the caller must stop by itself.
        """
        for _ in range(_TRIES_MAX):
            numbers = [int(name[:6]) for name in os.listdir(self._halts) if name[:6].isdigit()]
            record = HaltRecord(
                counter=max(numbers, default=0) + 1,
                source=source,
                rule=rule,
                detail=detail[:400],
                raised_at_utc=iso_utc(utc_ns()),
            )
            try:
                _write_durably(self._halts, f"{record.counter:06d}.json", msgspec.json.encode(record), exclusive=True)
            except FileExistsError:
                continue
            return record
        raise FileExistsError(f"no free halt number in {self._halts} after {_TRIES_MAX} tries")

    def raise_halt_once(self, source: str, rule: str, detail: str) -> HaltRecord | None:
        """Raise a halt, unless one by this rule stands that no operator has answered; then return None."""
        state = self.read()
        newest = state.halt_counter if state.halt and state.halt.rule == rule else 0
        if max(self._raised.get(rule, 0), newest) > state.answered:
            return None
        record = self.raise_halt(source, rule, detail)
        self._raised[rule] = record.counter
        return record

    def arm(self, record: ArmRecord) -> None:
        """Write the arm record, and take a standing stop request back. Called by the web UI alone."""
        (self._folder / STOP_FILE).unlink(missing_ok=True)
        _write_durably(self._folder, START_FILE, f"{record.armed_at_utc} {record.operator}\n".encode())
        _write_durably(self._folder, ARM_FILE, msgspec.json.encode(record))

    def request_stop(self, operator: str) -> None:
        """Ask for no new positions; protection and exits go on until an operator arms again."""
        (self._folder / START_FILE).unlink(missing_ok=True)
        _write_durably(self._folder, STOP_FILE, f"{iso_utc(utc_ns())} {operator}\n".encode())


def _read_if_there(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _identity(path: str) -> tuple[int, int]:
    """Return inode and time of a file; every rewrite makes another inode. A file that is not there is (0, 0)."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _halts_in(folder: Path) -> int:
    try:
        return sum(name.endswith(".json") for name in os.listdir(folder))
    except OSError:
        return -1


def _write_durably(folder: Path, name: str, content: bytes, *, exclusive: bool = False) -> None:
    """Write a whole file and its directory entry to disk; readers see the old one or the new one."""
    target = folder / name
    part = folder / f".{name}.{os.getpid()}.{threading.get_ident()}.part"
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        if exclusive:
            os.link(part, target)
            part.unlink()
        else:
            part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
