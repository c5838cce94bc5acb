"""The drill: a chain trades, its home is archived, the archive goes into an empty home, and a chain starts on that."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import until

from bus.ballast import Ballast
from bus.processes import ROOT, Chain, free_port
from bus.status_file import STATUS_FILE
from config.archive import Manifest, pack, unpack
from config.paths import HOME_VARIABLE, HomePaths
from replay.books import compare_books
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage

pytestmark = pytest.mark.processes
PASSPHRASE = "the words of this drill"


def ledger_says(paths: HomePaths) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.ledger", "verify"],
        cwd=ROOT,
        env={HOME_VARIABLE: str(paths.root), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def state_of(paths: HomePaths) -> str:
    path = paths.output / STATUS_FILE
    return str(json.loads(path.read_bytes())["state"]) if path.is_file() else ""


def test_an_archive_when_put_into_an_empty_home_then_has_the_same_books_and_a_chain_starts_on_it_disarmed(
    make_stage: Callable[..., Stage], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stage = make_stage(SessionChoice(), HEARTBEAT_TIMEOUT="10000")
    stage.arm("the drill")
    stage.wait_for_end(120)
    stage.stop()
    paths, folder = stage.chain.paths, tmp_path_factory.mktemp("r")
    archive = folder / "a.zip.age"
    about = Manifest(
        bot_identity=DEMO_IDENTITY.bot_identity, session="2025-03-12", made_at_utc="", version="", files={}
    )
    pack(paths, about, PASSPHRASE, archive)
    restored = HomePaths(Path(folder / "h"))
    unpack(archive, PASSPHRASE, restored.root)
    assert ledger_says(restored) == ledger_says(paths).replace(str(paths.root), str(restored.root))
    assert compare_books(restored, DEMO_IDENTITY) == []
    (restored.output / STATUS_FILE).unlink(missing_ok=True)
    chain = Chain(restored, free_port())
    chain.start(quiet=True)
    try:
        until(lambda: state_of(restored) in {"DISARMED", "HALTED", "REDUCING"}, "the restored chain does not get ready")
        assert state_of(restored) == "DISARMED", "what is restored has to be armed anew"
    finally:
        chain.stop()
        Ballast(restored).release()
