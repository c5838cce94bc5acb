"""Archives through their own program: made, listed, verified, pruned, put back on an empty machine that then runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bus.assembly import Setup
from bus.keys import make_pairs
from bus.processes import ROOT
from bus.testing import a_deposit, a_fill
from config.credentials import ARCHIVE_PASSPHRASE
from config.env_bot import parse, proposals
from config.paths import HOME_VARIABLE, HomePaths
from config.vault import Secrets, Vault
from replay.session import DEMO_IDENTITY
from services.ledger.coa_utils_ledger import load_template
from services.ledger.provision import REQUEST_NAME
from services.ledger.shell import build

PASSPHRASE = "canary orange bicycle 42"
NOW_NS = 1_741_789_800_000_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    """Give a configured home with a ledger that has two entries."""
    paths = HomePaths(tmp_path_factory.mktemp("tb") / "home")
    paths.make()
    secrets = Secrets(
        generation=0,
        settings=proposals() | {"ARCHIVE_KEEP_DAYS": "2", "ARCHIVE_KEEP_MONTHS": "1"},
        identity=DEMO_IDENTITY,
        users=(),
        credentials={ARCHIVE_PASSPHRASE: PASSPHRASE},
        coa={},
        curve=make_pairs(),
    )
    Vault(paths).provision(secrets)
    request = {"coa": load_template(), "currency_code": "USD"}
    (paths.control / REQUEST_NAME).write_bytes(msgspec.json.encode(request))
    (paths.control / "arm.json").write_text("{}")
    assembly = build(Setup(paths=paths, env=parse(secrets.settings), identity=DEMO_IDENTITY)).checked()
    state: Any = assembly.core.initial()
    assembly.shell.on_start(state, NOW_NS)
    for message in (a_deposit(), a_fill()):
        for event in assembly.core.decide(state, message, NOW_NS):
            assembly.shell.before_commit(event)
            state = assembly.core.evolve(state, event)
    assembly.shell.close()
    return paths


def run(home: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, HOME_VARIABLE: str(home), "PYTHONSAFEPATH": "1"},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def backup(home: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return run(home, "supervisor/auto_backup.py", *arguments, given=given)


@pytest.fixture(scope="module")
def archive(home: HomePaths) -> Path:
    done = backup(home.root, "make", "--session", "2026-03-03")
    assert done.returncode == 0, done.stderr
    (found,) = (home.root / "backups").glob("*.zip.age")
    return found


def test_archive_is_named_by_bot_and_session_listed_and_whole(home: HomePaths, archive: Path) -> None:
    assert archive.name.startswith("TBOT_USA_main_PAPER_BOT01_2026-03-03_")
    assert str(archive) in backup(home.root, "list").stdout

    verified = backup(home.root, "verify", str(archive), given=PASSPHRASE + "\n")

    assert verified.returncode == 0
    assert "is whole" in verified.stdout


def test_archive_with_another_passphrase_is_refused_in_words(home: HomePaths, archive: Path, tmp_path: Path) -> None:
    refused = backup(home.root, "restore", str(archive), "--to", str(tmp_path / "new"), given="another one\n")

    assert refused.returncode == 2
    assert "another passphrase" in refused.stderr
    assert "canary" not in refused.stderr
    assert not (tmp_path / "new").exists()


def test_restored_home_has_the_same_books_and_is_not_armed(home: HomePaths, archive: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"

    restored = backup(tmp_path / "nowhere", "restore", str(archive), "--to", str(new), given=PASSPHRASE + "\n")

    assert restored.returncode == 0, restored.stderr
    assert not (new / "control" / "arm.json").exists()
    assert Vault(HomePaths(new)).open().credentials == {ARCHIVE_PASSPHRASE: PASSPHRASE}
    sound = [run(where, "-m", "services.ledger", "verify") for where in (home.root, new)]
    assert [done.returncode for done in sound] == [0, 0]
    assert sound[0].stdout == sound[1].stdout
    balances = [run(where, "-m", "services.ledger", "trial-balance").stdout for where in (home.root, new)]
    assert balances[0] == balances[1]
    # The chain's own start: the ledger opens, and finds its restore line anew.
    assert run(new, "-m", "services.ledger", "--self-check").returncode == 0


def test_old_archives_go_only_after_the_newest_was_read_back(home: HomePaths, archive: Path) -> None:
    folder = home.root / "backups"
    stem = "TBOT_USA_main_PAPER_BOT01"
    for day in ("2026-01-05", "2026-01-06", "2026-02-05"):
        shutil.copyfile(archive, folder / f"{stem}_{day}_20260101T000000Z.zip.age")

    done = backup(home.root, "make", "--session", "2026-03-04")

    assert done.returncode == 0, done.stderr
    days = sorted(path.name.split("_")[-2] for path in folder.glob("*.zip.age"))
    assert days == ["2026-03-03", "2026-03-04"]


def test_home_without_passphrase_makes_none_and_says_why(tmp_path: Path) -> None:
    paths = HomePaths(tmp_path / "home")
    paths.make()
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings=proposals(),
            identity=DEMO_IDENTITY,
            users=(),
            credentials={},
            coa={},
            curve={},
        )
    )

    refused = backup(paths.root, "make")

    assert refused.returncode == 2
    assert "archive_passphrase is not set" in refused.stderr
    assert not list((paths.root / "backups").glob("*.age*"))


def test_after_the_close_both_are_tried_and_what_failed_is_said(home: HomePaths) -> None:
    done = run(home.root, "supervisor/after_close.py", "--session", "2026-03-05")

    # This home has no journals: the report fails, and the archive is made all the same.
    assert done.returncode == 1
    assert "report of 2026-03-05" in done.stderr
    assert "the archive is" in done.stdout
    assert json.dumps(PASSPHRASE)[1:-1] not in done.stdout + done.stderr


@pytest.mark.parametrize("is_reached", [True, False])
def test_after_the_close_the_archives_are_copied_to_where_the_settings_say(
    home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_reached: bool
) -> None:
    vault = Vault(home, new_pairs=make_pairs)
    kept = vault.open()
    vault.replace(replace(kept, settings=kept.settings | {"ARCHIVE_REMOTE": "vault:bot"}), kept.generation)
    rclone = tmp_path / "rclone"
    rclone.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path / "calls"}\n{"" if is_reached else "echo no such remote >&2; false"}\n'
    )
    rclone.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    done = run(home.root, "supervisor/after_close.py", "--session", "2026-03-05")

    assert (tmp_path / "calls").read_text().startswith(f"copy {home.root / 'backups'} vault:bot ")
    assert ("every archive is at vault:bot" in done.stdout) == is_reached
    assert (
        "mirror of 2026-03-05: the archives were not copied to vault:bot: no such remote" in done.stderr
    ) != is_reached
    assert json.dumps(PASSPHRASE)[1:-1] not in done.stdout + done.stderr + (tmp_path / "calls").read_text()
