"""From the vault to a Setup: every fault at once, and a damaged file by its name."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.control import ControlFolder
from bus.keys import KeyRing, make_pairs
from bus.processes import ROOT
from bus.service import run_service
from bus.start import ConfigurationError, await_setup, load_setup
from bus.status_file import STATUS_FILE
from config.env_bot import proposals
from config.paths import HomePaths
from config.users import User
from config.vault import Secrets, Vault
from replay.session import DEMO_IDENTITY

CANARY = "CANARY-5up3r-secret"


def _secrets(**settings: str) -> Secrets:
    return Secrets(
        generation=0,
        settings=proposals() | settings,
        identity=DEMO_IDENTITY,
        users=(User(name="ann", password_hash=CANARY, role="admin"),),
        credentials={"web_session_key": CANARY},
        coa={"accounts": [{"code": "1000"}]},
        curve=make_pairs(),
    )


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    home.make()
    return home


@pytest.fixture
def logs() -> Iterator[logging.Logger]:
    """Give the root logger back as it was: a service's process sets it up anew."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_settings_when_they_have_faults_are_refused_with_all_of_them(paths: HomePaths) -> None:
    secrets = _secrets(START_TIME_OPEN="25:99", HEARTBEAT_TIMEOUT="soon", LOG_FORMAT="XML", NO_SUCH_SETTING="1")
    del secrets.settings["MARKET_DATA_SEED"]
    with pytest.raises(ConfigurationError, match=r"5 fault") as caught:
        load_setup(paths, secrets)
    for key in ("START_TIME_OPEN", "HEARTBEAT_TIMEOUT", "LOG_FORMAT", "NO_SUCH_SETTING", "MARKET_DATA_SEED"):
        assert key in str(caught.value)
    assert CANARY not in str(caught.value)


def test_settings_when_they_are_right_make_a_setup_of_this_home_and_identity(paths: HomePaths) -> None:
    setup = load_setup(paths, _secrets(MARKET_DATA_SEED="42"))
    assert setup.paths == paths
    assert setup.identity == DEMO_IDENTITY
    assert setup.env.whole("MARKET_DATA_SEED") == 42


@pytest.mark.parametrize("name", ["secrets/g000001/settings.enc", "secrets/g000001/MANIFEST", "secrets/CURRENT"])
def test_the_vault_when_a_file_is_damaged_stops_the_start_and_names_it(paths: HomePaths, name: str) -> None:
    Vault(paths).provision(_secrets())
    path = paths.root / "storage" / name
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    with pytest.raises(ConfigurationError, match=path.name) as caught:
        await_setup("risk", paths)
    assert str(path) in str(caught.value)
    assert CANARY not in str(caught.value)


def test_the_vault_when_its_key_is_missing_stops_the_start_and_names_it(paths: HomePaths) -> None:
    Vault(paths).provision(_secrets())
    (paths.keys / "g000001.key").unlink()
    with pytest.raises(ConfigurationError, match=r"g000001\.key is missing"):
        await_setup("risk", paths)


def test_stored_settings_when_they_have_faults_stop_the_start(paths: HomePaths) -> None:
    Vault(paths).provision(_secrets(MARKET_DATA_DATE="tomorrow"))
    with pytest.raises(ConfigurationError, match="MARKET_DATA_DATE"):
        await_setup("risk", paths)


@pytest.mark.parametrize("log_format", ["JSON", "CSV"])
def test_a_service_when_configured_has_its_setup_its_keys_and_a_log_of_its_own(
    paths: HomePaths, logs: logging.Logger, log_format: str
) -> None:
    secrets = _secrets(LOG_FORMAT=log_format)
    Vault(paths).provision(secrets)
    setup, ring = await_setup("risk", paths)
    assert setup.env.word("LOG_FORMAT") == log_format
    assert ring == KeyRing.of("risk", secrets.curve)
    logs.error("here I am")
    log, of_all = sorted((paths.output / DEMO_IDENTITY.bot_identity / "logs").iterdir(), reverse=True)
    assert of_all.name == "errors.log"
    line = log.read_text(encoding="utf-8").strip()
    assert log.name == "risk.log"
    assert "here I am" in line
    assert line.startswith("{") is (log_format == "JSON")


def test_a_service_when_not_configured_yet_says_so_once_and_waits(
    paths: HomePaths, logs: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[KeyRing] = []
    waiting = threading.Thread(target=lambda: found.append(await_setup("risk", paths)[1]), daemon=True)
    waiting.start()
    secrets = _secrets()
    said = ""
    for _ in range(1000):
        said += capsys.readouterr().err
        if said:
            break
        waiting.join(0.01)
    assert said.count("risk waits for the configuration") == 1
    assert str(paths.root) in said
    assert found == []
    Vault(paths).provision(secrets)
    waiting.join(10)
    assert found == [KeyRing.of("risk", secrets.curve)]
    assert not (paths.output / STATUS_FILE).exists(), "the watchdog alone writes it"


def test_the_watchdog_when_nothing_is_configured_says_so_to_readers_outside(
    paths: HomePaths, logs: logging.Logger
) -> None:
    waiting = threading.Thread(target=lambda: await_setup("watchdog", paths), daemon=True)
    waiting.start()
    for _ in range(1000):
        if (paths.output / STATUS_FILE).exists():
            break
        waiting.join(0.01)
    said = json.loads((paths.output / STATUS_FILE).read_bytes())
    assert said["bot_state"] == "UNCONFIGURED"
    assert "configuration" in said["stopped"]
    Vault(paths).provision(_secrets())
    waiting.join(10)
    assert not waiting.is_alive()


def _of_another_version() -> Secrets:
    secrets = _secrets(SETTING_OF_OLD="1")
    del secrets.settings["MARKET_DATA_SEED"]
    return secrets


def test_a_service_when_settings_are_of_another_version_then_waits_until_they_are_confirmed(
    paths: HomePaths, logs: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    Vault(paths).provision(_of_another_version())
    waiting = threading.Thread(target=lambda: await_setup("watchdog", paths), daemon=True)
    waiting.start()
    for _ in range(1000):
        if (paths.output / STATUS_FILE).exists():
            break
        waiting.join(0.01)
    assert waiting.is_alive()
    said = json.loads((paths.output / STATUS_FILE).read_bytes())
    assert said["detail"].startswith(f"2 settings of {paths.root} are not those of this version: look at them")
    assert capsys.readouterr().err.count("watchdog waits for its new settings") == 1
    Vault(paths).replace(_secrets(), expected_generation=1)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_check_when_settings_are_of_another_version_does_not_wait(paths: HomePaths) -> None:
    Vault(paths).provision(_of_another_version())
    with pytest.raises(ConfigurationError, match=r"2 settings of .* are not those of this version"):
        await_setup("risk", paths, is_waiting=False)


def test_a_check_when_nothing_is_configured_does_not_wait(paths: HomePaths) -> None:
    with pytest.raises(ConfigurationError, match="is not configured"):
        await_setup("risk", paths, is_waiting=False)


def test_a_service_when_given_an_unknown_argument_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["risk", "--jsn"])
    assert run_service("risk", lambda setup: pytest.fail("built")) == 2
    assert "not known: --jsn" in capsys.readouterr().err


def test_a_service_when_its_own_file_is_damaged_halts_in_words_once_and_does_not_start(short_home: HomePaths) -> None:
    Vault(short_home).provision(_secrets())
    (short_home.state / "risk.db").write_bytes(b"this is no database at all" * 500)
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-m", "services.risk"],
            cwd=ROOT,
            env={**os.environ, "TRADEBOT_HOME": str(short_home.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 78
        assert "restore the file from a backup" in run.stderr
    (halt,) = ControlFolder(short_home).unanswered()
    assert (halt.source, halt.rule) == ("risk", "unusable_store")
    assert str(short_home.state / "risk.db") in halt.detail


def test_a_service_when_the_environment_names_a_failpoint_dies_there_once(tmp_path: Path) -> None:
    marker = tmp_path / "died"
    script = (
        "import sys; from bus.failpoints import Failpoint; from bus.service import run_service\n"
        "sys.argv.append('--unknown'); run_service('risk', None)\n"
        "with Failpoint('risk.commit'): print('alive')\n"
    )

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "TRADEBOT_FAILPOINT": f"risk.commit:before@{marker}"},
            capture_output=True,
            text=True,
            check=False,
        )

    first, second = run(), run()
    assert (first.returncode, first.stdout, marker.exists()) == (-signal.SIGKILL, "", True)
    assert (second.returncode, second.stdout) == (0, "alive\n")


def test_a_service_when_the_secrets_know_nothing_of_a_new_service_says_what_to_do(
    paths: HomePaths, logs: logging.Logger
) -> None:
    secrets = _secrets()
    older = {name: pair for name, pair in secrets.curve.items() if name != "holdings"}
    Vault(paths).provision(replace(secrets, curve=older))

    with pytest.raises(ConfigurationError, match=r"no key of the bus for holdings.*Save the settings once"):
        await_setup("risk", paths, is_waiting=False)
