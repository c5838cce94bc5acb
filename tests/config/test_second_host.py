"""What the second host is given, what it is not, and what is refused."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from canaries import SESSION_KEY

from bus.keys import KeyRing, make_pairs
from bus.lock import service_lock
from bus.routes import SECOND_HOST_SERVICES, SERVICES
from bus.second_host import main
from config import generation_pin
from config.archive import seal
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HOME_VARIABLE, HomePaths
from config.second_host import SecondHostError, export, install
from config.users import User
from config.vault import Secrets, Vault

PASSPHRASE = "a long passphrase for one file"
DIVIDED = {"BUS_TRANSPORT": "tcp", "BUS_TCP_HOST": "10.0.0.1", "BUS_TCP_SECOND_HOST": "10.0.0.2"}
CREDENTIALS = {
    "web_session_key": SESSION_KEY,
    "alpaca_trading_key": "TRADINGKEY1",
    "alpaca_trading_secret": "tradingsecret1",
    "alpaca_data_key": "DATAKEY123",
    "alpaca_data_secret": "datasecret1",
    "finnhub_api_key": "finnhubkey1",
    "smtp_password": "mailsecret1",
    "archive_passphrase": "another long passphrase",
}


def _home(folder: Path, settings: dict[str, str] | None = None, **credentials: str) -> HomePaths:
    paths = HomePaths(folder)
    paths.make()
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings=proposals() | (DIVIDED if settings is None else settings),
            identity=Identity(
                entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
            ),
            users=(User(name="adam", password_hash="hash-of-adam", role="admin"),),
            credentials=CREDENTIALS | credentials,
            coa={"accounts": []},
            curve=make_pairs(),
        )
    )
    return paths


def _empty(folder: Path) -> HomePaths:
    paths = HomePaths(folder)
    paths.make()
    return paths


def test_second_host_when_installed_then_has_its_own_keys_and_nothing_that_trades_or_logs_in(tmp_path: Path) -> None:
    first, second, file = _home(tmp_path / "a"), _empty(tmp_path / "b"), tmp_path / "file"
    assert export(first, SECOND_HOST_SERVICES, PASSPHRASE, file) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert install(second, file, PASSPHRASE) == 1
    whole, given = Vault(first).open(), Vault(second).open()
    assert given.settings == whole.settings
    assert given.identity == whole.identity
    assert given.users == ()
    assert set(given.credentials) == {"alpaca_data_key", "alpaca_data_secret", "finnhub_api_key"}
    assert {name for name, pair in given.curve.items() if pair.secret} == {"screener", "strategy"}
    assert {name: pair.public for name, pair in given.curve.items()} == {
        name: pair.public for name, pair in whole.curve.items()
    }
    assert KeyRing.of("screener", given.curve).public == KeyRing.of("risk", whole.curve).public
    said = json.dumps(msgspec.to_builtins(given))
    away = [name for name in SERVICES if name not in SECOND_HOST_SERVICES]
    kept_here = [whole.curve[name].secret for name in away] + ["TRADINGKEY1", "tradingsecret1", "mailsecret1"]
    assert [secret for secret in kept_here if secret in said] == []


def test_second_host_when_settings_changed_then_takes_the_next_file_and_only_while_it_stands_still(
    tmp_path: Path,
) -> None:
    first, second = _home(tmp_path / "a"), _empty(tmp_path / "b")
    export(first, SECOND_HOST_SERVICES, PASSPHRASE, tmp_path / "one")
    install(second, tmp_path / "one", PASSPHRASE)
    vault = Vault(first, new_pairs=make_pairs)
    vault.replace(vault.open(), 1)
    export(first, SECOND_HOST_SERVICES, PASSPHRASE, tmp_path / "two")
    generation_pin.join(second, Vault(second).generation)
    with pytest.raises(SecondHostError, match="stop them first"):
        install(second, tmp_path / "two", PASSPHRASE)
    other = _empty(tmp_path / "c")
    install(other, tmp_path / "one", PASSPHRASE)
    assert install(other, tmp_path / "two", PASSPHRASE) == 2
    assert Vault(other).open().curve["risk"].public == Vault(first).open().curve["risk"].public


def test_journals_when_the_services_move_then_go_along_once(tmp_path: Path) -> None:
    first, second = _home(tmp_path / "a"), _empty(tmp_path / "b")
    (first.state / "strategy.db").write_bytes(b"how far strategy had come")
    (first.state / "risk.db").write_bytes(b"stays here")
    export(first, SECOND_HOST_SERVICES, PASSPHRASE, tmp_path / "one")
    install(second, tmp_path / "one", PASSPHRASE)
    assert (second.state / "strategy.db").read_bytes() == b"how far strategy had come"
    assert (second.state / "strategy.db").stat().st_mode & 0o777 == 0o600
    (second.state / "strategy.db").write_bytes(b"further")
    install(second, tmp_path / "one", PASSPHRASE)
    assert [path.read_bytes() for path in second.state.iterdir()] == [b"further"]


def test_command_when_the_services_still_run_here_then_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _home(tmp_path / "a")
    monkeypatch.setenv(HOME_VARIABLE, str(first.root))
    with service_lock(first, "strategy"):
        assert main(["export", str(tmp_path / "file")]) == 2
    assert "stop the chain first" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["passphrase", "damaged", "other"])
def test_file_when_it_does_not_open_then_nothing_is_changed(tmp_path: Path, what: str) -> None:
    first, second, file = _home(tmp_path / "a"), _empty(tmp_path / "b"), tmp_path / "file"
    export(first, SECOND_HOST_SERVICES, PASSPHRASE, file)
    if what == "damaged":
        file.write_bytes(file.read_bytes()[:-3])
    elif what == "other":
        file.write_bytes(seal(b'{"generation":1}', PASSPHRASE))
    with pytest.raises(SecondHostError, match="does not open"):
        install(second, file, "the wrong passphrase, though long" if what == "passphrase" else PASSPHRASE)
    assert not Vault(second).is_provisioned()
    assert not second.second_host.exists()


def test_file_when_it_must_not_be_made_then_says_why_and_makes_none(tmp_path: Path) -> None:
    whole = _home(tmp_path / "a", {})
    with pytest.raises(SecondHostError, match="BUS_TCP_SECOND_HOST"):
        export(whole, SECOND_HOST_SERVICES, PASSPHRASE, tmp_path / "file")
    trading = _home(tmp_path / "b", DIVIDED | {"MARKET_DATA_SOURCE": "alpaca"}, alpaca_data_key="")
    with pytest.raises(SecondHostError, match="the pair that trades, which the second host must not have"):
        export(trading, SECOND_HOST_SERVICES, PASSPHRASE, tmp_path / "file")
    with pytest.raises(SecondHostError, match="at least 16"):
        export(whole, SECOND_HOST_SERVICES, "short", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_home_of_a_whole_chain_when_it_is_given_the_file_then_refuses(tmp_path: Path) -> None:
    first = _home(tmp_path / "a")
    export(first, SECOND_HOST_SERVICES, PASSPHRASE, tmp_path / "file")
    with pytest.raises(SecondHostError, match="a home of its own"):
        install(first, tmp_path / "file", PASSPHRASE)


def test_command_when_run_then_takes_the_passphrase_from_its_input_and_repeats_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Typed:
        def isatty(self) -> bool:
            return False

        def readline(self) -> str:
            return f"{PASSPHRASE}\n"

    first, second = _home(tmp_path / "a"), HomePaths(tmp_path / "b")
    monkeypatch.setattr("sys.stdin", Typed())
    monkeypatch.setenv(HOME_VARIABLE, str(first.root))
    assert main(["export", str(tmp_path / "file")]) == 0
    monkeypatch.setenv(HOME_VARIABLE, str(second.root))
    assert main(["install", str(tmp_path / "file")]) == 0
    assert main(["install", str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr()
    assert PASSPHRASE not in said.out + said.err
    assert "screener and strategy" in said.out


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"BUS_TRANSPORT": "ipc"}, "BUS_TRANSPORT is ipc"),
        ({"BUS_TCP_HOST": "127.0.0.1"}, "does not reach"),
        ({}, ""),
    ],
)
def test_settings_when_two_hosts_cannot_reach_each_other_then_fault(changed: dict[str, Any], words: str) -> None:
    values = proposals() | DIVIDED | changed
    if not words:
        assert parse(values).word("BUS_TCP_SECOND_HOST") == "10.0.0.2"
        return
    with pytest.raises(Exception, match=words):
        parse(values)
