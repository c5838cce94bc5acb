"""TEST_MODE as it lies on disk: the flag that asks for a run, the home of its own, and the record of each run.

The flag `control/test_mode.flag` is a request, made by the web UI or by hand. It stays while its run lasts, so that
taking it away ends the run, and is gone afterwards. A run writes nothing of production but its own folder
`output/{BOT_IDENTITY}/test_mode/{RUN}`: the record `run.json`, replaced whole at each step, and a log per routine.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus.clock import NS_PER_SECOND, iso_utc, utc_ns
from bus.control import write_durably
from config.identity import Identity
from config.paths import HomePaths

FLAG_FILE: Final = "test_mode.flag"
#: Why the last request was refused, in words, for who made it by hand.
REFUSED_FILE: Final = "test_mode_refused.txt"
#: The home of the test runs, under the production home: the one place that the bot may write to.
HOME_FOLDER: Final = "test_home"
RECORD_FILE: Final = "run.json"
RUNS_KEPT: Final = 10
_FLAG_BYTES_MAX: Final = 4096
_RUN_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_LOG: Final = re.compile(r"[a-z0-9_]{1,40}\.log")

RoutineState = Literal["waiting", "running", "passed", "failed", "left out"]
RunState = Literal["running", "passed", "failed", "interrupted", "refused"]


class Request(Struct, frozen=True, kw_only=True):
    """Who asks for a run, and whether it may reach out as production would: one letter, one question to the broker."""

    operator: str = "by hand"
    reason: str = ""
    sends_letter: bool = False
    asks_broker: bool = False


class RoutineRecord(Struct, frozen=True, kw_only=True):
    """One routine of a run. `words` say what was shown or what failed, `todo` what to do about it."""

    name: str
    title: str
    limit_s: int
    state: RoutineState = "waiting"
    started_at_utc: str = ""
    duration_ms: int = 0
    words: str = ""
    todo: str = ""
    log: str = ""


class RunRecord(Struct, frozen=True, kw_only=True):
    """One run. `words` say why one was refused or interrupted."""

    run_id: str
    state: RunState
    asked_by: str
    reason: str = ""
    words: str = ""
    started_at_utc: str = ""
    ended_at_utc: str = ""
    routines: tuple[RoutineRecord, ...] = ()


def home_for_tests(paths: HomePaths) -> HomePaths:
    """Return the home in which the tests of a production home play."""
    return HomePaths(paths.root / HOME_FOLDER)


def runs_folder(paths: HomePaths, identity: Identity) -> Path:
    """Return where the records of all runs are."""
    return paths.output / identity.bot_identity / "test_mode"


def new_run_id(folder: Path, now_ns: int) -> str:
    """Return the name of a run that begins now: its second, or the next one that has none yet."""
    while True:
        run_id = iso_utc(now_ns)[:19].replace("-", "").replace(":", "") + "Z"
        if not (folder / run_id).exists():
            return run_id
        now_ns += NS_PER_SECOND


def ask(paths: HomePaths, request: Request) -> None:
    """Make the flag.

    Raises:
        OSError: it cannot be written.
    """
    write_durably(paths.control, FLAG_FILE, msgspec.json.encode(request))


def read_request(paths: HomePaths) -> Request | None:
    """Return the request that waits; an empty flag, or one with other words in it, was made by hand."""
    try:
        content = (paths.control / FLAG_FILE).read_bytes()[:_FLAG_BYTES_MAX]
    except FileNotFoundError:
        return None
    except OSError:
        return Request()
    try:
        return msgspec.json.decode(content, type=Request)
    except msgspec.MsgspecError:
        return Request()


def runs(folder: Path) -> list[str]:
    """Return the ids of the runs, the newest first."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted((path.name for path in folder.iterdir() if _RUN_ID.fullmatch(path.name)), reverse=True)
    return []


def read_run(folder: Path, run_id: str) -> RunRecord | None:
    """Return the record of one run; None where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / run_id / RECORD_FILE).read_bytes(), type=RunRecord)
    except (OSError, msgspec.MsgspecError):
        return None


def newest_run(folder: Path) -> RunRecord | None:
    """Return the record of the newest run."""
    return next((found for run_id in runs(folder) if (found := read_run(folder, run_id)) is not None), None)


def write_run(folder: Path, record: RunRecord) -> None:
    """Replace the record of a run: a reader sees the one before or this one.

    Raises:
        OSError: the disk refuses.
    """
    own = folder / record.run_id
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = own / f".{RECORD_FILE}.{os.getpid()}.part"
    part.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    part.replace(own / RECORD_FILE)


def log_of(folder: Path, run_id: str, name: str) -> Path | None:
    """Return the log of one routine; None where either name is not one of ours."""
    if not _RUN_ID.fullmatch(run_id) or not _LOG.fullmatch(name):
        return None
    path = folder / run_id / name
    return path if path.is_file() and not path.is_symlink() else None


def prune(folder: Path) -> None:
    """Remove the oldest runs beyond those that are kept."""
    for run_id in runs(folder)[RUNS_KEPT:]:
        shutil.rmtree(folder / run_id, ignore_errors=True)


def ended(record: RunRecord, state: RunState, words: str = "") -> RunRecord:
    """Return the record of a run that is over; a routine that still ran has failed, what waited was left out."""
    return replace(
        record, state=state, words=words, ended_at_utc=iso_utc(utc_ns()), routines=tuple(_closed(record, words))
    )


def _closed(record: RunRecord, words: str) -> Iterator[RoutineRecord]:
    for routine in record.routines:
        if routine.state == "running":
            yield replace(routine, state="failed", words=words or "It did not come to an end.")
        elif routine.state == "waiting":
            yield replace(routine, state="left out", words=words)
        else:
            yield routine
