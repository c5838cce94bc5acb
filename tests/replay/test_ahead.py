"""Messages that nobody acts on are heard many at a time: the events are those of the same day played one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.assembly import Assembly, Setup
from bus.local import LocalChain
from bus.messages import KillSwitchTripped, Message, OrderCancelled, OrderFilled, ResultPeaked, ServiceName
from config.paths import HomePaths
from replay.local import BUILDERS
from replay.session import SessionChoice, open_session
from services.ledger.coa_utils_ledger import load_template

Event = tuple[ServiceName, Message]
#: The proposed settings; a peak that the day's loss is counted from, slow and small fills, fractions of a share; a
#: loss that trips the kill switch; a stop so near that most positions end by it.
SETTINGS: tuple[dict[str, str], ...] = (
    {},
    {
        "DAILY_LOSS_FROM": "peak",
        "PAPER_LATENCY": "1",
        "PAPER_PARTICIPATION": "20",
        "FRACTIONAL_SHARES": "true",
    },
    {"DAILY_LOSS_LIMIT": "0.1", "MAX_RISK_PER_TRADE": "0.1", "DAILY_LOSS_FROM": "peak"},
    {"TRAILING_STOP": "0.3", "STRAT_MID_ENABLED": "false"},
)


def _played(settings: dict[str, str], folder: Path, *, may_look_ahead: bool) -> Sequence[Event]:
    session = open_session(SessionChoice(date="2025-03-12").settings() | settings, HomePaths(folder))
    paths = session.setup.paths
    paths.make()
    request = {"coa": load_template(), "currency_code": "USD"}
    (paths.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
    setup = Setup(paths=paths, env=session.setup.env, identity=session.setup.identity, is_buffered=True)
    assemblies: dict[ServiceName, Assembly[Any]] = {name: build(setup) for name, build in BUILDERS.items()}
    events: list[Event] = []
    chain = LocalChain(
        assemblies, lambda service, event: events.append((service, event)), may_look_ahead=may_look_ahead
    )
    try:
        chain.begin(session.plan)
        feed = assemblies["screener"].feed
        assert feed is not None
        chain.play(feed(session.plan))
    finally:
        chain.close()
    return events


@pytest.mark.parametrize("settings", SETTINGS, ids=["proposed", "realistic", "kill-switch", "near-stops"])
def test_a_day_when_messages_pass_many_at_a_time_then_every_event_is_that_of_one_by_one(
    settings: dict[str, str], tmp_path: Path
) -> None:
    ahead = _played(settings, tmp_path / "ahead", may_look_ahead=True)
    assert ahead == _played(settings, tmp_path / "plain", may_look_ahead=False)
    kinds = {type(event) for _, event in ahead}
    assert OrderFilled in kinds
    if "DAILY_LOSS_LIMIT" in settings:
        assert {KillSwitchTripped, ResultPeaked, OrderCancelled} <= kinds
