"""The whole lists of a session on disk: every candidate and every name that was screened out, each with its reasons."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from bus.clock import NS_PER_SECOND, iso_utc
from bus.messages import Candidate, Rejection
from config.vault import Disk
from services.screener.rules import not_applied
from services.screener.screening import Screening
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded

LISTS_FOLDER: Final = "screener"
#: A list has megabytes, and a session may have eighty: those made in the session are kept of so many sessions.
SCANNED_SESSIONS_KEPT: Final = 5
_SCAN: Final = re.compile(r"(\d{4}-\d{2}-\d{2})_intraday_\d{4}\.json", re.ASCII)


def list_path(output: Path, bot_identity: str, universe: UniverseLoaded) -> Path:
    """Return where the list of this session and part of the day belongs; one made in the session has its time, UTC."""
    name = f"{universe.session_date}_{universe.scan_mode}"
    if universe.due_ns and universe.scan_mode == "intraday":
        name += f"_{datetime.fromtimestamp(universe.due_ns // NS_PER_SECOND, UTC):%H%M}"
    return output / bot_identity / LISTS_FOLDER / f"{name}.json"


def forget_scans(folder: Path) -> None:
    """Remove the lists that were made in older sessions; those from before an open and after a close stay.

    Raises:
        OSError: the disk refused.
    """
    found = [(match[1], path) for path in folder.iterdir() if (match := _SCAN.fullmatch(path.name))]
    kept = sorted({day for day, _ in found})[-SCANNED_SESSIONS_KEPT:]
    for day, path in found:
        if day not in kept:
            path.unlink(missing_ok=True)


def list_text(universe: UniverseLoaded, settings: ScreenerSettings) -> bytes:
    """Return the list as JSON. Candidates have the reasons of all rules, the others those of the rules they failed."""
    screening = Screening(universe.rows, settings, universe.scan_mode)
    return msgspec.json.encode(
        {
            "session_date": universe.session_date,
            "scan_mode": universe.scan_mode,
            "source": universe.source,
            "made_at": iso_utc(universe.ts_event),
            "names": len(universe.rows),
            "failed_by_rule": screening.failures(),
            "not_applied": not_applied(settings),
            "candidates": [_named(one) for one in screening.candidates()],
            "rejected": [_named(one) for one in screening.rejections(only_failed=True)],
        }
    )


def _named(item: Candidate | Rejection) -> dict[str, Any]:
    """Give the fields their names, which they do not have on the bus."""
    return asdict(item) | {"reasons": [asdict(reason) for reason in item.reasons]}


def write_list(path: Path, content: bytes, disk: Disk | None = None) -> None:
    """Put the list in its place in one step: another of the same session and part of the day is replaced.

    Raises:
        OSError: the disk refused; what was there stays.
    """
    disk = disk or Disk()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    disk.write_file(part, content)
    disk.rename(part, path)
    disk.sync_folder(path.parent)
