"""Whether production is as it was: the sum of every file of its home, before and after."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bus.test_mode import FLAG_FILE, HOME_FOLDER, REFUSED_FILE, runs_folder
from config.identity import Identity
from config.paths import HomePaths
from replay.selftest.ground import Ground, RoutineFailedError

#: What a run itself is asked for, refused and told by.
_OF_THE_RUN: Final = (HOME_FOLDER, f"control/{FLAG_FILE}", f"control/{REFUSED_FILE}")
#: What the services of a chain that runs write all the time, whatever happens; its web UI's audit log too.
_OF_A_RUNNING_CHAIN: Final = ("run", "state", "audit", "output/status.json")
_RUNNING_TAILS: Final = ("-wal", "-shm", ".part")
_SHOWN_MAX: Final = 5


def sums_of(home: HomePaths, identity: Identity, *, is_live: bool) -> dict[str, str]:
    """Return the SHA-256 of each file of a production home by its path in the home.

    Args:
        home: the production home.
        identity: whose it is; the records of test runs in its output folder do not count.
        is_live: a chain runs on it: what such a chain writes by itself all the time does not count either.
    """
    out = {*_OF_THE_RUN, runs_folder(home, identity).relative_to(home.root).as_posix()}
    if is_live:
        out |= {*_OF_A_RUNNING_CHAIN}
    return {
        path.relative_to(home.root).as_posix(): _sum(path)
        for path in sorted(_files(home.root, home.root, out))
        if not (is_live and (path.name.endswith(_RUNNING_TAILS) or "logs" in path.relative_to(home.root).parts))
    }


def _files(root: Path, folder: Path, out: set[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.relative_to(root).as_posix() in out or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(root, path, out)
        elif path.is_file():
            yield path


def _sum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        # It was taken away between the listing and this: the same as if it had not been listed.
        return ""


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return one phrase for each file that is new, gone or other than it was."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was != now:
            found.append(f"{name} {'is new' if was is None else 'is gone' if now is None else 'was changed'}")
    return found


def production_untouched(ground: Ground) -> str:
    """Compare every file of the production home with what it was before the first routine."""
    after = sums_of(ground.production, ground.identity, is_live=ground.is_live)
    for name, digest in after.items():
        ground.say(f"{digest}  {name}")
    found = differences(ground.before, after)
    if found:
        more = f" (and {len(found) - _SHOWN_MAX} more)" if len(found) > _SHOWN_MAX else ""
        raise RoutineFailedError(f"{', '.join(found[:_SHOWN_MAX])}{more}")
    left_out = " Not compared, as the running chain writes them: run, state, audit, logs." if ground.is_live else ""
    return f"All {len(after)} files of {ground.production.root} have the sums that they had before.{left_out}"
