"""A strategy whose self-check fails keeps the whole chain from trading, armed or not, until the build is sound."""

import json
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from bus.build import build_id
from bus.clock import iso_utc, utc_ns
from bus.control import ControlFolder
from bus.halt import ArmRecord
from bus.messages import OrderPrepared, SubmitOrder
from bus.store import read_journal
from config.paths import HomePaths
from config.vault import Vault
from replay.browser import PageError
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage

pytestmark = pytest.mark.processes
BROKEN = Path(__file__).resolve().parents[1] / "data" / "broken_open"
WORDS = "The self-check of strategy open failed at"


def said_by(stage: Stage, service: str) -> str:
    lines = {line["service"]: line["detail"] for line in stage.chain_state().get("services", [])}
    return str(lines.get(service, ""))


def logged(paths: HomePaths) -> list[dict[str, str]]:
    text = (paths.output / DEMO_IDENTITY.bot_identity / "logs" / "strategy.log").read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if line.get("strategy") == "open"]


def permission(generation: int) -> ArmRecord:
    return ArmRecord(
        operator="admin",
        reason="did not look",
        armed_at_utc=iso_utc(utc_ns()),
        halt_counter=0,
        generation=generation,
        build=build_id(),
    )


def test_a_chain_when_a_strategy_fails_its_self_check_then_an_operator_cannot_make_it_trade(
    make_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make_stage(SessionChoice())
    paths = stage.chain.paths
    stage.stop()
    with monkeypatch.context() as broken:
        broken.setenv("PYTHONPATH", str(BROKEN))
        stage.resume()
        until(lambda: WORDS in said_by(stage, "strategy"), "the page does not say what failed")
        assert stage.chain_state()["state"] == "STARTING"
        with pytest.raises(PageError, match=WORDS):
            stage.browser.fill_in("/control/arm", {"reason": "did not look", "password": stage.password})
        # A permission that came another way opens nothing.
        ControlFolder(paths).arm(permission(Vault(paths).generation()))
        until(lambda: stage.chain_state()["armed_by"], "the watchdog does not see the permission")
        assert stage.chain_state()["state"] == "STARTING"
        assert WORDS in said_by(stage, "strategy")
        fields = logged(paths)[0]
        assert fields["timestamp"].endswith("Z")
        assert fields["reason"]
        assert fields["context"]
        stage.stop()
    assert read_journal(paths.state / "risk.db", (SubmitOrder,)) == []
    assert read_journal(paths.state / "execution.db", (OrderPrepared,)) == []

    stage.resume()
    stage.wait_until_ready()
    assert stage.chain_state()["state"] == "DISARMED", "a permission of the chain that was never ready is none"
