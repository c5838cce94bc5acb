"""The doctor: each thing that is not well is found, named and has something to do; nothing secret is shown."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config import doctor
from config.archive import SUFFIX
from config.build_check import ROOT
from config.credentials import ARCHIVE_PASSPHRASE
from config.doctor import Finding, KernelClock, examine
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HOME_VARIABLE, HomePaths
from config.vault import Secrets, Vault

CANARY = "canary-0123456789"


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path / "home")
    paths.make()
    return paths


def provision(home: HomePaths, settings: dict[str, str] | None = None, **credentials: str) -> None:
    identity = Identity(
        entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    Vault(home).provision(
        Secrets(
            generation=0,
            settings=proposals() | (settings or {}),
            identity=identity,
            users=(),
            credentials=credentials,
            coa={},
            curve={},
        )
    )


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int | None, str, str]]:
    """Answer for the services; their own verbs have tests of their own."""
    answers: dict[str, tuple[int | None, str, str]] = {
        "services.ledger": (0, "sound", ""),
        "services.web": (0, "whole", ""),
        "services.execution": (0, '{"is_in":true,"words":["Account open."]}', ""),
    }
    monkeypatch.setattr(doctor, "_run", lambda _paths, module, *_rest: answers[module])
    return answers


def found(home: HomePaths, **options: Any) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(home, **options)}


def test_home_that_is_well_has_nothing_bad(home: HomePaths) -> None:
    provision(home)

    findings = found(home)

    assert [finding.what for finding in findings.values() if finding.verdict == "bad"] == []
    assert all(finding.todo for finding in findings.values() if finding.verdict != "ok")
    assert findings["broker"].words == "The embedded paper broker: nobody to reach."


def test_home_that_is_not_there_is_said_so_and_the_rest_left_out(tmp_path: Path) -> None:
    findings = found(HomePaths(tmp_path / "nowhere"))

    assert findings["home"].verdict == "bad"
    assert "ledger" not in findings


def test_home_that_is_not_configured_is_said_so(home: HomePaths) -> None:
    findings = found(home)

    assert findings["configuration"].verdict == "bad"
    assert "credentials" not in findings


def test_settings_of_another_version_are_bad(home: HomePaths) -> None:
    provision(home, {"MAX_OPEN_POSITIONS": "many"})

    assert found(home)["settings"].verdict == "bad"


def test_credentials_that_the_settings_need_and_nobody_entered_are_named_and_none_is_shown(home: HomePaths) -> None:
    provision(home, {"UNIVERSE_SOURCE": "finnhub"}, archive_passphrase=CANARY)

    findings = found(home)

    assert findings["credentials"].verdict == "bad"
    assert "finnhub_api_key" in findings["credentials"].words
    assert CANARY not in str(findings)


def test_broker_that_refuses_is_bad_and_is_not_asked_offline(
    home: HomePaths, asked: dict[str, tuple[int | None, str, str]]
) -> None:
    provision(home, {"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true"}, alpaca_trading_key=CANARY)
    asked["services.execution"] = (1, '{"is_in":false,"words":["The key is not known there."]}', "")

    assert found(home)["broker"].words == "The key is not known there."
    assert found(home)["broker"].verdict == "bad"
    assert "broker" not in found(home, is_offline=True)
    asked["services.execution"] = (None, "", "services.execution did not answer within 120 s.")
    assert "did not answer" in found(home)["broker"].words


def test_ledger_that_does_not_verify_is_bad_with_its_own_words(
    home: HomePaths, asked: dict[str, tuple[int | None, str, str]]
) -> None:
    provision(home)
    asked["services.ledger"] = (1, "", "posting 12 was changed")

    assert found(home)["ledger"] == Finding(
        what="ledger",
        verdict="bad",
        words="posting 12 was changed",
        todo="Keep the file as it is, and restore: docs/ledger.md, 'Restore by hand'.",
    )


@pytest.mark.plants_a_secret
def test_key_that_others_may_read_is_named(home: HomePaths) -> None:
    provision(home)
    key = next(home.keys.glob("*.key"))
    key.chmod(0o644)

    assert str(key) in found(home)["permissions"].words
    assert found(home)["permissions"].verdict == "bad"


@pytest.mark.parametrize(("free", "verdict"), [(100 << 20, "bad"), (1 << 30, "warn"), (50 << 30, "ok")])
def test_disk_is_judged_by_what_is_free(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    provision(home)
    real = os.statvfs(home.root)
    shape = [real.f_bsize, 1, real.f_blocks, real.f_bfree, free, *real[5:]]
    monkeypatch.setattr(doctor.os, "statvfs", lambda _path: os.statvfs_result(shape))

    assert found(home)["disk"].verdict == verdict


@pytest.mark.parametrize(
    ("kernel", "verdict"),
    [
        (KernelClock(offset_us=-1_200, error_us=9_000, status=0x2001), "ok"),
        (KernelClock(offset_us=0, error_us=0, status=0x40), "warn"),
        (KernelClock(offset_us=-700_000, error_us=9_000, status=1), "warn"),
        (KernelClock(offset_us=0, error_us=3_000_000, status=1), "warn"),
        (None, "warn"),
    ],
)
def test_clock_is_judged_by_what_the_kernel_says(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch, kernel: KernelClock | None, verdict: str
) -> None:
    provision(home)
    monkeypatch.setattr(doctor, "_kernel_clock", lambda: kernel)

    clock = found(home)["clock"]
    assert clock.verdict == verdict
    assert bool(clock.todo) is (verdict != "ok")


def test_ledger_backups_that_cannot_restore_everything_are_bad(
    home: HomePaths, asked: dict[str, tuple[int | None, str, str]]
) -> None:
    provision(home)
    assert found(home)["ledger backups"].verdict == "ok"
    asked["services.ledger"] = (1, "", "Entries 1 to 7 could not be restored.")
    assert found(home)["ledger backups"].verdict == "bad"
    assert found(home)["ledger backups"].todo


def test_second_host_is_not_asked_for_what_is_on_the_first(home: HomePaths) -> None:
    provision(home, {"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true"})
    home.second_host.write_bytes(b"")

    findings = found(home)
    assert findings["host"].verdict == "ok"
    assert not {"credentials", "ledger", "broker", "archives"} & set(findings)


def test_archives_are_judged_by_the_newest(home: HomePaths) -> None:
    provision(home, **{ARCHIVE_PASSPHRASE: CANARY})
    assert found(home)["archives"].words == "There is no archive yet."
    (home.root / "backups").mkdir(exist_ok=True)
    archive = home.root / "backups" / f"a_2026-01-01_x{SUFFIX}"
    archive.touch()
    assert found(home)["archives"].verdict == "ok"
    os.utime(archive, (1_700_000_000, 1_700_000_000))
    assert found(home)["archives"].verdict == "warn"


def test_command_prints_every_finding_and_exits_by_the_worst(home: HomePaths) -> None:
    environment = {**os.environ, HOME_VARIABLE: str(home.root)}

    done = subprocess.run(
        [sys.executable, "-m", "config", "doctor", "--offline", "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"build", "clock", "calendar", "disk", "permissions", "configuration"} <= {one["what"] for one in findings}
