"""Secrets in every place where none may be, for the watch to find: `test_secret_watch.py` runs this file by itself.

The names are short: homes of these tests are deep in the folders of another test, and unix sockets hang off them.
"""

import base64
import html
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

import canaries
import pytest

from bus.keys import make_pairs
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HomePaths
from config.vault import Secrets, Vault
from services.web.app import create_app
from services.web.hub import StatusHub
from services.web.site import SESSION_KEY_NAME

#: Started by tests, and there until the run ends: then their input does.
_CHILDREN: Final[list["subprocess.Popen[bytes]"]] = []
_OTHER_PROCESS: Final = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from planted_secrets import provision
provision(Path(sys.argv[1]))
"""


def provision(root: Path) -> HomePaths:
    """Make a configured home."""
    paths = HomePaths(root)
    paths.make()
    names = {"entity_code": "TBOT", "jurisdiction_code": "USA", "account_name": "main", "broker_code": "PAPER"}
    kept = Secrets(
        generation=0,
        settings=proposals(),
        identity=Identity(**names, bot_id="BOT01"),
        users=(),
        credentials={SESSION_KEY_NAME: canaries.SESSION_KEY, **canaries.CREDENTIALS},
        coa={},
        curve=make_pairs(),
    )
    Vault(paths).provision(kept)
    return paths


def test_nothing(tmp_path: Path) -> None:
    provision(tmp_path / "h")


@pytest.mark.plants_a_secret
def test_on_purpose(tmp_path: Path) -> None:
    (tmp_path / "on-purpose.txt").write_text(canaries.PASSWORD)
    logging.getLogger("any").warning("on purpose: %s", canaries.PASSWORD)


def test_file(tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_bytes(bytes(10) + canaries.PASSWORD.encode())


def test_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "base.db") as base:
        base.execute("CREATE TABLE kept (what)")
        base.execute("INSERT INTO kept VALUES (?)", [base64.b64encode(f"x{canaries.SESSION_KEY}yz".encode()).decode()])
    base.close()


def test_archive(tmp_path: Path) -> None:
    member = tmp_path / "member.txt"
    member.write_text(canaries.CREDENTIALS["metrics_token"].encode().hex())
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as file:
        file.add(member, "member.txt")


def test_log() -> None:
    key = quote(canaries.CREDENTIALS["alpaca_data_secret"], safe="")
    logging.getLogger("any").warning("asked for https://example.invalid/?key=%s", key)


def test_page(tmp_path: Path) -> None:
    app = create_app(provision(tmp_path / "h"), StatusHub())
    with app.test_request_context("/any"):
        page = html.escape(canaries.CREDENTIALS["smtp_password"])
        app.finalize_request(page)


def test_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "removed.txt").write_text(canaries.CREDENTIALS["webhook_url"])
    shutil.rmtree(tmp_path / "gone")


def test_replaced(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(canaries.TOTP_SECRET)
    (tmp_path / "status.part").write_text("{}")
    (tmp_path / "status.part").replace(tmp_path / "status.json")


def test_key(tmp_path: Path) -> None:
    # Others may read it.
    next(provision(tmp_path / "h").keys.glob("*.key")).chmod(0o644)


def test_home(tmp_path: Path) -> None:
    home = tmp_path / "other"
    subprocess.run([sys.executable, "-c", _OTHER_PROCESS, home, *sys.path], check=True)
    (tmp_path / "journal.txt").write_text(f"said {Vault(HomePaths(home)).open().curve['risk'].secret}")


def test_process() -> None:
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    more = {**os.environ, "ANY": canaries.CREDENTIALS["finnhub_api_key"]}
    _CHILDREN.append(subprocess.Popen([*waits, canaries.CREDENTIALS["archive_passphrase"]], stdin=subprocess.PIPE))
    _CHILDREN.append(subprocess.Popen(waits, stdin=subprocess.PIPE, env=more))
