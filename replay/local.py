"""A session through the cores in one process: no sockets, no other process, the same decisions."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

import services.execution.shell
import services.holdings.shell
import services.ledger.shell
import services.risk.shell
import services.screener.shell
import services.strategy.shell
from bus.assembly import Assembly, CannotStartError, Setup
from bus.local import LocalChain
from bus.messages import Message, ServiceName
from config.paths import HomePaths
from replay.session import OpenedSession
from services.ledger.coa_utils_ledger import load_template

BUILDERS: Final[dict[ServiceName, Callable[[Setup], Assembly[Any]]]] = {
    "screener": services.screener.shell.build,
    "strategy": services.strategy.shell.build,
    "risk": services.risk.shell.build,
    "execution": services.execution.shell.build,
    "ledger": services.ledger.shell.build,
    "holdings": services.holdings.shell.build,
}


@dataclass(frozen=True)
class Played:
    """What a session did: every committed event of every service, in order, and the number of market messages."""

    events: list[tuple[ServiceName, Message]]
    steps: int

    def of(self, service: ServiceName) -> list[Message]:
        """Return the events of one service."""
        return [event for name, event in self.events if name == service]


def play(session: OpenedSession) -> Played:
    """Play a session in this process, in a temporary home that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        return play_in(session, HomePaths(Path(folder)))


def play_in(session: OpenedSession, paths: HomePaths) -> Played:
    """Play a session in this process, writing ledger and paper broker under `paths`."""
    paths.make()
    request = {"coa": load_template(), "currency_code": "USD"}
    (paths.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
    setup = Setup(paths=paths, env=session.setup.env, identity=session.setup.identity, is_buffered=True)
    assemblies = {name: build(setup) for name, build in BUILDERS.items()}
    events: list[tuple[ServiceName, Message]] = []
    chain = LocalChain(assemblies, lambda service, event: events.append((service, event)))
    try:
        chain.begin(session.plan)
        feed = assemblies["screener"].feed
        if feed is None:
            raise CannotStartError("The screener has no market data to play.")
        steps = chain.play(feed(session.plan))
    finally:
        chain.close()
    return Played(events, steps)
