"""Settings take effect at the next session: nothing moves in mid-session, and between two everything moves together."""

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.assembly import Setup
from bus.keys import KeyRing, make_pairs
from bus.new_settings import PinWatch, waiting_generation
from bus.start import await_setup
from config import generation_pin
from config.env_bot import proposals
from config.paths import HomePaths
from config.users import User
from config.vault import Secrets, Vault
from replay.session import DEMO_IDENTITY


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    found = HomePaths(tmp_path / "home")
    found.make()
    Vault(found).provision(
        Secrets(
            generation=0,
            settings=proposals() | {"MARKET_DATA_SEED": "1"},
            identity=DEMO_IDENTITY,
            users=(User(name="ann", password_hash="h", role="admin"),),
            credentials={"alpaca_trading_key": "first"},
            coa={},
            curve=make_pairs(),
        )
    )
    return found


def save(paths: HomePaths, **settings: str) -> int:
    vault = Vault(paths, new_pairs=make_pairs)
    found = vault.open()
    credentials = {"alpaca_trading_key": "second"}
    return vault.replace(replace(found, settings=found.settings | settings, credentials=credentials), found.generation)


def started(paths: HomePaths, name: str) -> tuple[Setup, KeyRing]:
    return await_setup(name, paths)  # type: ignore[arg-type] # a name of the catalogue


def test_service_when_restarted_after_a_save_in_mid_session_then_settings_and_keys_are_those_of_the_chain(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log of a process would take the place of the test's own.
    monkeypatch.setattr("bus.start.set_up_logs", lambda *_: None)
    risk, risk_ring = started(paths, "risk")
    for seed in ("2", "3", "4", "5", "6"):
        save(paths, MARKET_DATA_SEED=seed)
    again, ring = started(paths, "execution")
    assert risk.generation == again.generation == 1
    assert again.env.whole("MARKET_DATA_SEED") == 1
    assert ring.public == risk_ring.public, "with other keys they would not hear each other"
    assert Vault(paths).open(again.generation).credentials == {"alpaca_trading_key": "first"}
    assert Vault(paths).open().curve["risk"].public.encode() != risk_ring.public["risk"]


def test_service_when_the_watchdog_turns_the_chain_then_sees_it_once(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.new_settings.POLL_S", 0.01)
    moved = threading.Event()
    generation_pin.move(paths, 1)
    watch = PinWatch(paths, 1, moved.set)
    watch.start()
    save(paths)
    assert not moved.wait(0.1), "a save alone moves nothing"
    (paths.run / generation_pin.PIN_FILE).write_bytes(b"torn")
    assert not moved.wait(0.1), "nor does a file that cannot be read"
    generation_pin.move(paths, 2)
    assert moved.wait(10)
    assert watch.has_moved


def test_waiting_when_something_was_saved_then_is_its_generation_unless_it_cannot_be_used(paths: HomePaths) -> None:
    assert waiting_generation(paths, 1) == 0
    assert save(paths, MARKET_DATA_SEED="7") == 2
    assert waiting_generation(paths, 1) == 2
    assert waiting_generation(paths, 2) == 0
    assert waiting_generation(paths, 0) == 0, "a chain that is not from a vault stays as it is"
    vault, kept = Vault(paths), Vault(paths).open()
    people = (replace(kept.users[0], password_hash="another"),)
    vault.replace(replace(kept, users=people), kept.generation)
    assert waiting_generation(paths, 2) == 0, "a password changes nothing for the chain"
    save(paths, MARKET_DATA_SEED="not a number")
    assert waiting_generation(paths, 2) == 0
