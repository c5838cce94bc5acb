"""Archives of the home: make one, list, verify, restore on an empty machine, and drop old ones.

    python supervisor/auto_backup.py make [--session YYYY-MM-DD]
    python supervisor/auto_backup.py list
    python supervisor/auto_backup.py verify FILE
    python supervisor/auto_backup.py restore FILE --to DIR

`make` takes the passphrase from the vault; it runs by itself after each session. `verify` and `restore` need nothing
but the file and the passphrase, which is asked for, or read from the standard input. Exit code 0, or 2 with words.
"""

import argparse
import getpass
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bus.clock import iso_utc, utc_ns
from config.archive import SUFFIX, ArchiveError, Manifest, pack, to_prune, unpack, verify
from config.credentials import ARCHIVE_PASSPHRASE
from config.env_bot import SettingsError, parse
from config.paths import HOME_VARIABLE, HomePaths, home_paths
from config.vault import Secrets, Vault, VaultError

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 2
NO_ARCHIVE: Final = (
    "No archive is made: the credential archive_passphrase is not set. Set it in the web UI, and keep it away from "
    "this machine: without it no archive opens."
)


def archive(paths: HomePaths, secrets: Secrets, session: str) -> Path:
    """Make an archive, read it back, then drop what is older than the settings keep; return where it is.

    Raises:
        ArchiveError: it could not be made, or does not read back; nothing was dropped then.
        SettingsError: the settings cannot be read.
    """
    passphrase = secrets.credentials.get(ARCHIVE_PASSPHRASE, "")
    if not passphrase:
        raise ArchiveError(NO_ARCHIVE)
    env = parse(secrets.settings)
    made_at = iso_utc(utc_ns())
    identity = secrets.identity.bot_identity
    stamp = made_at[:19].replace("-", "").replace(":", "") + "Z"
    target = folder_of(paths) / f"{identity}_{session or made_at[:10]}_{stamp}{SUFFIX}"
    about = Manifest(
        bot_identity=identity,
        session=session or made_at[:10],
        made_at_utc=made_at,
        version=version("tradebot"),
        files={},
    )
    try:
        pack(paths, about, passphrase, target)
        verify(target, passphrase)
    except ArchiveError:
        target.unlink(missing_ok=True)
        raise
    for name in to_prune(
        [path.name for path in archives(paths)],
        keep_days=env.whole("ARCHIVE_KEEP_DAYS"),
        keep_months=env.whole("ARCHIVE_KEEP_MONTHS"),
        day_of=day_of,
    ):
        (folder_of(paths) / name).unlink(missing_ok=True)
    return target


def folder_of(paths: HomePaths) -> Path:
    """Return where a home's archives are."""
    return paths.root / "backups"


def archives(paths: HomePaths) -> list[Path]:
    """Return the archives of a home, the oldest first."""
    return sorted(folder_of(paths).glob(f"*{SUFFIX}"), key=lambda path: (day_of(path.name), path.name))


def day_of(name: str) -> str:
    """Return the session in an archive's name, YYYY-MM-DD."""
    return name.removesuffix(SUFFIX).rsplit("_", 2)[-2]


def _make(options: argparse.Namespace) -> str:
    paths = home_paths()
    return f"{archive(paths, Vault(paths).open(), options.session)} is made and reads back whole."


def _list(_options: argparse.Namespace) -> str:
    found = archives(home_paths())
    lines = [f"{path.stat().st_size:>12,}  {path}" for path in found]
    return "\n".join(lines) or f"There is no archive in {folder_of(home_paths())}."


def _verify(options: argparse.Namespace) -> str:
    manifest = verify(options.file, _passphrase())
    return f"{options.file} is whole: {len(manifest.files)} files of {manifest.bot_identity}, {manifest.session}."


def _restore(options: argparse.Namespace) -> str:
    manifest = unpack(options.file, _passphrase(), options.to.absolute())
    return (
        f"{len(manifest.files)} files of {manifest.bot_identity} as they were at {manifest.made_at_utc} are in "
        f"{options.to}. Look at the ledger with '{HOME_VARIABLE}={options.to} python -m services.ledger verify', then "
        f"start the chain with 'make run HOME_DIR={options.to}'. It is not armed; compare with the broker before it is."
    )


def _passphrase() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Passphrase of the archives: ")
    return sys.stdin.readline().rstrip("\n")


def main(arguments: list[str]) -> int:
    """Carry out one verb; say what was done, or what is wrong."""
    parser = argparse.ArgumentParser(prog="auto_backup.py", description="Archives of the home.")
    verbs = parser.add_subparsers(required=True)
    make = verbs.add_parser("make", help="make an archive of TRADEBOT_HOME in its folder backups/")
    make.add_argument("--session", default="", help="the session it is made after, YYYY-MM-DD; default: today")
    make.set_defaults(do=_make)
    verbs.add_parser("list", help="list the archives of TRADEBOT_HOME").set_defaults(do=_list)
    check = verbs.add_parser("verify", help="read an archive whole and compare every file with its sum")
    check.add_argument("file", type=Path)
    check.set_defaults(do=_verify)
    back = verbs.add_parser("restore", help="put an archive into a new home")
    back.add_argument("file", type=Path)
    back.add_argument("--to", type=Path, required=True, help="the new home: empty, or not there")
    back.set_defaults(do=_restore)
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(f"{options.do(options)}\n")
    except (ArchiveError, VaultError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
