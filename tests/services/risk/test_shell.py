"""The service is built from the settings and checks itself."""

from pathlib import Path

from bus.assembly import Setup
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.risk.core import RiskCore
from services.risk.shell import build


def _setup(home: Path, **changes: str) -> Setup:
    identity = Identity(
        entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    return Setup(paths=HomePaths(home), env=parse({**proposals(), **changes}), identity=identity)


def test_build_when_the_settings_are_good_then_a_core_and_no_faults(tmp_path: Path) -> None:
    assembly = build(_setup(tmp_path))
    assert isinstance(assembly.core, RiskCore)
    assert list(assembly.self_check()) == []
    assert list(tmp_path.iterdir()) == []
