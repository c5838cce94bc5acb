"""The control folder: arm record, halts, start and stop file, kill file. Any shell can stop; only the web UI arms."""

import errno
import os
import threading
from pathlib import Path

import msgspec

from bus.ballast import Ballast
from bus.clock import boot_ns, iso_utc, utc_ns
from bus.halt import ArmRecord, ControlState, HaltRecord
from config.paths import HomePaths

ARM_FILE = "arm.json"
STOP_FILE = "control_stop.txt"
START_FILE = "control_start.txt"
KILL_FILE = "kill.txt"
_TRIES_MAX = 100
#: A folder that was changed within so many nanoseconds may change again with the same time.
_SETTLED_NS = 20_000_000
_STOP_WORDS_MAX = 200
#: How long a second host waits before it tells a halt again whose reason lasts.
_AGAIN_NS = 60_000_000_000
_STANDING_MAX = 100
_READ_BYTES = 65_536
_halt_decoder = msgspec.json.Decoder(HaltRecord)
_arm_decoder = msgspec.json.Decoder(ArmRecord)


class ControlFolder:
    """Reads and writes `control/` of one home. Every write is on disk (fsync) when the call returns."""

    def __init__(self, paths: HomePaths) -> None:
        self._folder = paths.control
        self._halts = paths.halts
        # As text: this is read while orders and halts wait, and to join paths costs as much as to read the files.
        self._arm_file, self._start_file, self._stop_file, self._kill_file = self._stamped = tuple(
            str(self._folder / name) for name in (ARM_FILE, START_FILE, STOP_FILE, KILL_FILE)
        )
        self._folder_text, self._halts_text = str(self._folder), str(self._halts)
        self._ballast = Ballast(paths)
        #: The newest halt of ours or found, by its rule and, where it counts, its source.
        self._raised: dict[tuple[str, str], int] = {}
        self._current: tuple[tuple[int, ...], ControlState] | None = None
        #: Nobody arms on a second host, so none of its records is ever answered there.
        self._is_second_host = paths.second_host.exists()
        self._told_ns: dict[tuple[str, str], int] = {}

    def read(self) -> ControlState:
        """Return the present state; a file that cannot be read makes a stopped state, never an exception."""
        try:
            arm_bytes = _read_if_there(self._arm_file)
            newest = max((name for name in os.listdir(self._halts_text) if name.endswith(".json")), default="")
            last = _halt_decoder.decode(_read(f"{self._halts_text}/{newest}")) if newest else None
            arm = _arm_decoder.decode(arm_bytes) if arm_bytes else None
            return ControlState(
                arm=arm,
                halt=last,
                halt_counter=last.counter if last else 0,
                is_stop_requested=_is_there(self._stop_file),
                is_kill_file_present=_is_there(self._kill_file),
                is_start_file_present=_is_there(self._start_file),
                stop_words=_first_words(self._stop_file),
            )
        except (OSError, msgspec.MsgspecError) as error:
            return ControlState(
                arm=None,
                halt=None,
                halt_counter=0,
                is_stop_requested=False,
                is_kill_file_present=False,
                is_start_file_present=False,
                fault=f"the control folder {self._folder} cannot be read: {error}",
            )

    def adopt_halt(self, counter: int, source: str, rule: str, detail: str) -> int:
        """Return the number that a halt which was told has on this disk; where its record is not there, write it.

        Services on one host share the disk, and the record is there before it is told. Another host counts its halts
        by itself: a record of the same number may be another halt, which does not stand for this one.

        Raises:
            OSError: the record could not be put on disk; the caller must stop by itself.
        """
        known = self._record(counter)
        if known is not None and (known.source, known.rule) == (source, rule):
            return counter
        if self._is_second_host:
            return self._write_halt(source, rule, detail, at_least=counter).counter
        self.raise_halt_once(source, rule, detail, is_for_source=True)
        return self._raised[rule, source]

    def current(self) -> ControlState:
        """Return what `read` says, from memory while nothing has changed: for those who ask many times a second."""
        stamp = self.stamp()
        if self._current is None or self._current[0] != stamp or self._current[1].fault:
            self._current = (stamp, self.read())
        return self._current[1]

    def glance(self) -> tuple[int, int] | None:
        """Return figures that stay the same only while no file has come, gone or been replaced; None = look closely.

        For those who ask at every message: two system calls. A file system's clock may tick only every 10 ms, so what
        was changed within the last 20 ms could change again unseen; nor does it show a file that is edited in place,
        which `stamp` does.
        """
        try:
            times = os.stat(self._folder_text).st_mtime_ns, os.stat(self._halts_text).st_mtime_ns
        except OSError:
            return None
        return times if 0 <= max(times) < utc_ns() - _SETTLED_NS else None

    def stamp(self) -> tuple[int, ...]:
        """Return figures that change whenever `read` could answer differently; cheap enough for each message.

        Times alone are not enough: two changes may fall into one tick of the file system's clock.
        """
        return (*_halts_in(self._halts_text), *(figure for path in self._stamped for figure in _identity(path)))

    def raise_halt(self, source: str, rule: str, detail: str) -> HaltRecord:
        """Write the next halt record; a concurrent halt by another process gets the number after.

        On a full disk the space that was set aside is given up, once, so that the record fits.

        Raises:
            OSError: the record could not be put on disk; the caller must stop by itself.
        """
        try:
            return self._write_halt(source, rule, detail)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._ballast.release():
                raise
            return self._write_halt(source, rule, detail)

    def _write_halt(self, source: str, rule: str, detail: str, *, at_least: int = 1) -> HaltRecord:
        for _ in range(_TRIES_MAX):
            numbers = [int(name[:6]) for name in os.listdir(self._halts) if name[:6].isdigit()]
            record = HaltRecord(
                counter=max(at_least, max(numbers, default=0) + 1),
                source=source,
                rule=rule,
                detail=detail[:400],
                raised_at_utc=iso_utc(utc_ns()),
            )
            try:
                write_durably(self._halts, _record_name(record.counter), msgspec.json.encode(record), exclusive=True)
            except FileExistsError:
                continue
            return record
        raise FileExistsError(f"no free halt number in {self._halts} after {_TRIES_MAX} tries")

    def raise_halt_once(self, source: str, rule: str, detail: str, *, is_for_source: bool = False) -> HaltRecord | None:
        """Raise a halt, unless one by this rule stands that no operator has answered; then return None.

        Args:
            source: who raises it.
            rule: why, in one word.
            detail: why, in a sentence.
            is_for_source: only a record of the same source counts as the one that stands.
        """
        key = (rule, source if is_for_source else "")
        if self._is_second_host:
            return self._raise_again(key, source, rule, detail)
        if self._raised.get(key, 0) > self.read().answered:
            return None
        known = next((r for r in self.unanswered() if r.rule == rule and key[1] in ("", r.source)), None)
        record = known or self.raise_halt(source, rule, detail)
        self._raised[key] = record.counter
        return None if known else record

    def _raise_again(self, key: tuple[str, str], source: str, rule: str, detail: str) -> HaltRecord | None:
        """Raise a halt whose reason lasts once a minute: the other host knows which of them were answered."""
        now = boot_ns()
        if key in self._told_ns and now - self._told_ns[key] < _AGAIN_NS:
            return None
        record = self.raise_halt(source, rule, detail)
        self._told_ns[key] = now
        return record

    def unanswered(self) -> list[HaltRecord]:
        """Return the halts that no operator has answered, the newest first and at most 100 of them.

        Where the folder cannot be read nobody knows what was answered: then there are none, and who halts writes.
        """
        state = self.read()
        newest = range(state.halt_counter, max(state.answered, state.halt_counter - _STANDING_MAX), -1)
        return [] if state.fault else [record for record in map(self._record, newest) if record is not None]

    def _record(self, counter: int) -> HaltRecord | None:
        try:
            return _halt_decoder.decode(_read(f"{self._halts_text}/{_record_name(counter)}"))
        except (OSError, msgspec.MsgspecError):
            return None

    def arm(self, record: ArmRecord) -> None:
        """Write the arm record, and take a standing stop request back. Called by the web UI alone."""
        (self._folder / STOP_FILE).unlink(missing_ok=True)
        write_durably(self._folder, START_FILE, f"{record.armed_at_utc} {record.operator}\n".encode())
        write_durably(self._folder, ARM_FILE, msgspec.json.encode(record))

    def request_stop(self, operator: str) -> None:
        """Ask for no new positions; protection and exits go on until an operator arms again."""
        (self._folder / START_FILE).unlink(missing_ok=True)
        write_durably(self._folder, STOP_FILE, f"{iso_utc(utc_ns())} {operator}\n".encode())


def _record_name(counter: int) -> str:
    return f"{counter:06d}.json"


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = part = os.read(descriptor, _READ_BYTES)
        while len(part) == _READ_BYTES:
            part = os.read(descriptor, _READ_BYTES)
            found += part
        return found
    finally:
        os.close(descriptor)


def _read_if_there(path: str) -> bytes:
    try:
        return _read(path)
    except FileNotFoundError:
        return b""


def _is_there(path: str) -> bool:
    """Tell whether there is such a file; whatever else keeps it from being looked at is an error of the folder."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def _identity(path: str) -> tuple[int, int]:
    """Return inode and time of a file; every rewrite makes another inode. A file that is not there is (0, 0)."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _halts_in(folder: str) -> tuple[int, int, int]:
    """Return how many halt records there are, and inode and time of the newest."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json")]
    except OSError:
        return -1, 0, 0
    return (len(names), *(_identity(f"{folder}/{max(names)}") if names else (0, 0)))


def _first_words(path: str) -> str:
    """Return the first line of a file that anybody may have written."""
    lines = _read_if_there(path)[: 4 * _STOP_WORDS_MAX].decode(errors="replace").splitlines()
    return lines[0].strip()[:_STOP_WORDS_MAX] if lines else ""


def write_durably(folder: Path, name: str, content: bytes, *, exclusive: bool = False) -> None:
    """Write a whole file and its directory entry to disk; readers see the old one or the new one."""
    target = folder / name
    part = folder / f".{name}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
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
