"""What is done once after each session: its report, an archive of the home, and its copy elsewhere.

    python supervisor/after_close.py --session YYYY-MM-DD

The watchdog starts it. Each is tried, whatever becomes of those before.
Exit code 0, or 1 with one line for each thing that failed.
"""

import argparse
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bus.orphan import die_with
from bus.store import StoreError
from config.archive import ArchiveError
from config.credentials import ARCHIVE_PASSPHRASE
from config.env_bot import SettingsError, parse
from config.paths import HOME_VARIABLE, HomePaths, home_paths
from config.vault import Secrets, Vault, VaultError
from replay.books import compare_books
from replay.day_record import read_day
from replay.day_report import write_report

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
#: Behind everything that trades: the chain may still be up, and holds positions over night.
_NICENESS: Final = 10
_UPLOAD: Final = Path(__file__).resolve().parent.parent / "scripts" / "upload_backups_to_cloud.sh"
_UPLOAD_S_MAX: Final = 3_600


def report(paths: HomePaths, secrets: Secrets, session: str) -> str:
    """Write the session's trades and summary, and return where the summary is."""
    # BROKER_NAME PAPER: only the embedded broker's books can be read here.
    is_paper = secrets.settings.get("BROKER_NAME") == "PAPER"
    books = compare_books(paths, secrets.identity) if is_paper else None
    output = paths.output / secrets.identity.bot_identity
    written = write_report(read_day(paths.state, session), secrets.identity, output, books)
    return f"the session's report is {written[-1]}"


def archive(paths: HomePaths, secrets: Secrets, session: str) -> str:
    """Make the session's archive and return where it is; without a passphrase say that there is none."""
    backup = runpy.run_path(str(Path(__file__).with_name("auto_backup.py")))
    if not secrets.credentials.get(ARCHIVE_PASSPHRASE):
        return str(backup["NO_ARCHIVE"])
    return f"the archive is {backup['archive'](paths, secrets, session)}"


def mirror(paths: HomePaths, secrets: Secrets, _session: str) -> str:
    """Copy the archives that are not there yet to where ARCHIVE_REMOTE says; nothing is ever deleted there."""
    remote = parse(secrets.settings).word("ARCHIVE_REMOTE")
    if not remote:
        return "the archives are copied nowhere: ARCHIVE_REMOTE is empty"
    try:
        done = subprocess.run(  # noqa: S603 - our own script; rclone has the remote's credentials, not the bot
            ["/usr/bin/env", "bash", str(_UPLOAD), remote],
            env={**os.environ, HOME_VARIABLE: str(paths.root)},
            capture_output=True,
            text=True,
            timeout=_UPLOAD_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ArchiveError(f"the archives were not copied to {remote} within {_UPLOAD_S_MAX // 60} minutes") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ArchiveError(f"the archives were not copied to {remote}: {words}")
    return f"every archive is at {remote}"


_TASKS: Final[tuple[Callable[[HomePaths, Secrets, str], str], ...]] = (report, archive, mirror)


def main(arguments: list[str]) -> int:
    """Do everything for one session."""
    parser = argparse.ArgumentParser(prog="after_close.py", description="Report, archive and copy of a session.")
    parser.add_argument("--session", required=True, help="the session that is over, YYYY-MM-DD")
    session = parser.parse_args(arguments).session
    die_with(os.getppid())
    os.nice(_NICENESS)
    paths = home_paths()
    try:
        secrets = Vault(paths).open()
    except VaultError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    code = EXIT_DONE
    for task in _TASKS:
        try:
            sys.stdout.write(f"{task(paths, secrets, session)}\n")
        except (ArchiveError, SettingsError, StoreError, OSError) as error:
            sys.stderr.write(f"{task.__name__} of {session}: {error}\n")
            code = EXIT_FAILED
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
