"""The watch over the whole run: a secret planted anywhere fails the run, and is named without being said."""

import re
import subprocess
import sys
from pathlib import Path

import canaries
import pytest

TESTS = Path(__file__).resolve().parent
#: Where each planted secret is, what it is, and in which form: a line of the report each.
FOUND = (
    r"test_file0/raw\.txt: at byte 10 the password, raw",
    r"test_database0/base\.db: at byte \d+ the session key, base64",
    r"test_archive0/member\.txt: at byte 0 the metrics_token, hex",
    r"test_archive0/packed\.tar\.gz: at byte \d+ the metrics_token, hex",
    r"Captured log call of .*::test_log: at byte \d+ the alpaca_data_secret, in an address",
    r"page /any: at byte 0 the smtp_password, in a page",
    r"test_removed0/gone/removed\.txt \(removed\): at byte 0 the webhook_url, raw",
    r"test_replaced0/status\.json \(removed\): at byte 0 the TOTP secret, raw",
    r"test_key0/h/storage/keys/g000001\.key: at byte 0 the key of a generation, raw",
    r"test_home0/journal\.txt: at byte 5 the bus key of risk, raw",
    r"argument of the process '.*': at byte 0 the archive_passphrase, raw",
    r"environment of the process '.*': at byte 4 the finnhub_api_key, raw",
)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a short name."""
    return tmp_path_factory.mktemp("w")


def played(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", str(TESTS / "fakes" / "planted_secrets.py"), *options]
    command += ["--basetemp", str(folder / "t")]
    return subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)


@pytest.mark.plants_a_secret
@pytest.mark.parametrize("workers", [(), ("--numprocesses", "2")], ids=["one process", "two workers"])
def test_a_run_when_secrets_are_planted_then_fails_and_says_where_and_which(
    folder: Path, workers: tuple[str, ...]
) -> None:
    done = played(folder, *workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    said = done.stdout.partition("SECRETS IN THE CLEAR")[2].splitlines()
    lines = [line for line in said if ": at byte " in line]
    assert [line for line in lines if not any(re.search(f"{one}$", line) for one in FOUND)] == []
    assert [one for one in FOUND if not any(re.search(f"{one}$", line) for line in lines)] == []
    assert not any(secret in done.stdout for secret in canaries.ALL.values()), "the report says none of them"


@pytest.mark.plants_a_secret
def test_a_run_when_a_secret_is_planted_on_purpose_or_nowhere_then_is_good(folder: Path) -> None:
    done = played(folder, "-k", "nothing or purpose")
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert "SECRETS" not in done.stdout
