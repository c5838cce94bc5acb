"""Whether this checkout can run the bot: versions of what it stands on, and files it cannot do without.

Run before the chain is started. That all services run the same sources is checked while they run (bus/build.py), and
that a ledger fits to its schema and chart of accounts when it is opened (services/ledger/coa_utils_ledger.py).
"""

import json
import re
import sqlite3
import sys
import tomllib
from collections.abc import Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Final

from config.env_bot import SettingsError, parse, proposals

ROOT: Final = Path(__file__).resolve().parent.parent
PYTHON_MIN: Final = (3, 11)
#: Source: SQLite documentation, "STRICT Tables": since 3.37.0 (2021-11-27).
SQLITE_MIN: Final = (3, 37, 0)
#: Source: CVE-2019-13132, a hole in CURVE itself, is closed since libzmq 4.3.2; 4.3.5 is what the tests run on.
LIBZMQ_MIN: Final = (4, 3, 5)
SCHEMA: Final = "services/ledger/tbot_ledger_schema.sql"
COA: Final = "services/ledger/tbot_ledger_coa_template.json"
#: What has to be there beside Python's own modules.
FILES: Final = (
    "VERSION.md",
    "requirements.lock",
    "supervisor/supervisord.conf",
    "supervisor/watchdog_bot.py",
    "supervisor/after_close.py",
    "supervisor/auto_backup.py",
    SCHEMA,
    COA,
    "services/web/templates/base.html",
    "services/web/static/theme.css",
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def build_faults(root: Path = ROOT, installed: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return one sentence for each thing that keeps this checkout from running the bot, with what to do.

    Args:
        root: the checkout.
        installed: versions of packages by their names; None = those of this interpreter.
    """
    missing = _file_faults(root)
    # What is in a file is asked only where the files are there.
    content = () if missing else (*_ledger_faults(root), *_settings_faults())
    return (*_runtime_faults(), *missing, *content, *_package_faults(root, installed))


def _runtime_faults() -> list[str]:
    faults = []
    if sys.version_info < PYTHON_MIN:
        faults.append(f"Python {sys.version.split()[0]} is too old: {_dotted(PYTHON_MIN)} or newer is needed.")
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        faults.append(
            f"SQLite {sqlite3.sqlite_version} is too old: {_dotted(SQLITE_MIN)} or newer is needed. Use a Python that "
            "was built with one."
        )
    # Heavy, and needed for this question alone.
    import zmq

    if zmq.zmq_version_info() < LIBZMQ_MIN:
        faults.append(f"libzmq {zmq.zmq_version()} is too old: {_dotted(LIBZMQ_MIN)} is needed. Run 'make setup'.")
    if not zmq.has("curve"):
        faults.append("libzmq was built without CURVE: the bus could not be encrypted. Run 'make setup'.")
    return faults


def _file_faults(root: Path) -> list[str]:
    return [f"{root / name} is missing: get it back from the release." for name in FILES if not (root / name).is_file()]


def _ledger_faults(root: Path) -> list[str]:
    """Build an empty ledger in memory, and look whether the first chart of accounts fits together."""
    schema, template = root / SCHEMA, root / COA
    faults = []
    with closing(sqlite3.connect(":memory:")) as db:
        try:
            db.executescript(schema.read_text(encoding="utf-8"))
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            faults.append(f"{schema} makes no ledger ({error}): get it back from the release.")
    try:
        accounts = json.loads(template.read_bytes())["accounts"]
        codes = {account["code"] for account in accounts}
        orphans = sorted(
            account["code"] for account in accounts if account["parent"] and account["parent"] not in codes
        )
        if orphans or len(codes) != len(accounts) or not codes:
            faults.append(f"{template} is no chart of accounts ({', '.join(orphans) or 'codes'}): get it back.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        faults.append(f"{template} cannot be read ({error}): get it back from the release.")
    return faults


def _settings_faults() -> list[str]:
    """Look whether the settings that this version proposes are allowed by its own rules."""
    try:
        parse(proposals())
    except SettingsError as error:
        return [f"The table of settings contradicts itself: {error}. Get config/ back from the release."]
    return []


def _package_faults(root: Path, installed: Mapping[str, str] | None) -> list[str]:
    """Compare what is installed with the lock, for what pyproject.toml names."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        locked = {_plain(name): version for name, version in _PINNED.findall((root / "requirements.lock").read_text())}
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        return [f"{root} is no whole checkout: {error}. Get it back from the release."]
    faults = []
    for wanted in project["dependencies"]:
        match = _NAME.match(wanted)
        name = _plain(match[0]) if match else ""
        found = _version(name, installed)
        if name not in locked:
            faults.append(f"{name} is not in requirements.lock: run 'make lock'.")
        elif found is None:
            faults.append(f"{name} is not installed: run 'make setup'.")
        elif found != locked[name]:
            faults.append(f"{name} {found} is installed, and requirements.lock has {locked[name]}: run 'make setup'.")
    return faults


def _version(name: str, installed: Mapping[str, str] | None) -> str | None:
    if installed is not None:
        return installed.get(name)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
