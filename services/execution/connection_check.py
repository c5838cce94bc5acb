"""Try once, in a process of its own, whether a broker lets this bot in.

`python -m services.execution --test-connection` does so. It only asks: no order, no cancel and no setting of the broker
leaves here. It needs no lock, so it runs beside the service that trades.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bus.clock import utc_ns
from config.connection_check import Answer, Question, answer_on_stdio
from config.credentials import ALPACA_TRADING_KEY, ALPACA_TRADING_SECRET
from config.env_bot import EnvBot, SettingsError, parse
from config.paths import HomePaths, home_paths
from config.vault import Secrets, Vault, VaultError
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.settings import AlpacaSettings, IbkrSettings

#: How long one call to a broker may take, in nanoseconds: a person waits.
PATIENCE_NS: Final = 8_000_000_000
#: The gateway tells its clients apart by number, and the bot's own belongs to the service that trades.
_CLIENT_IDS: Final = 999


def main() -> int:
    """Answer the question on standard input; return the exit code."""
    return answer_on_stdio(lambda question: check(question, home_paths()))


def check(question: Question, paths: HomePaths) -> Answer:
    """Return whether the broker lets the bot in, with typed keys or with those that are kept."""
    asker = _ASKERS.get(question.provider)
    if asker is None:
        return Answer(is_in=False, words=(f"There is no broker '{question.provider}' to be tested.",))
    try:
        secrets = Vault(paths).open()
        return asker(question, secrets, parse(secrets.settings), paths.run)
    except (VaultError, SettingsError) as error:
        return Answer(is_in=False, words=(str(error),))


def _alpaca(question: Question, secrets: Secrets, env: EnvBot, _folder: Path) -> Answer:
    # Only this needs alpaca-py and the pandas that it brings.
    from services.execution.brokers.alpaca import AlpacaBroker

    own = AlpacaSettings.from_env(env)
    kept: Mapping[str, str] = question.keys or secrets.credentials
    keys = kept.get(ALPACA_TRADING_KEY, ""), kept.get(ALPACA_TRADING_SECRET, "")
    broker = AlpacaBroker(keys, own.endpoint, simulator_port=own.simulator_port, listens=False, call_ns=PATIENCE_NS)
    which = {
        "paper": "Alpaca's paper account answers: no money.",
        "live": "Alpaca's live account answers: REAL MONEY.",
        "simulator": "The stand-in for Alpaca on this machine answers. It never gets the keys, so they are not tested.",
    }[own.endpoint]
    return _asked(broker, f"{which} It is active, may trade, and its clock agrees with this machine's.")


def _ibkr(_question: Question, _secrets: Secrets, env: EnvBot, folder: Path) -> Answer:
    # Only this needs Interactive Brokers' library.
    from services.execution.brokers.ibkr import IbkrBroker
    from services.execution.brokers.ibkr_line import IbkrAccess

    own = IbkrSettings.from_env(env)
    # The test must not take the number of the service that trades: the gateway would turn one of the two away.
    client_id = own.client_id % _CLIENT_IDS + 1
    access = IbkrAccess(port=own.port, client_id=client_id, account=own.account, mode=own.mode)
    with tempfile.TemporaryDirectory(prefix="connection-check-", dir=folder) as scratch:
        broker = IbkrBroker(access, library=own.library, path=Path(scratch) / "books.db", patience_ns=PATIENCE_NS)
        kind = "a live account: REAL MONEY" if own.mode == "live" else "a paper account: no money"
        return _asked(broker, f"The gateway on port {own.port} answers and is logged in to {kind}.")


def _asked(broker: Broker, words: str) -> Answer:
    try:
        faults = _faults(broker)
    finally:
        broker.close()
    return Answer(is_in=not faults, words=faults or (words,))


def _faults(broker: Broker) -> tuple[str, ...]:
    try:
        # A broker that is away is no fault to whoever may wait for it; here it is one, and its clock tells.
        broker.clock(utc_ns())
    except (RetryableBrokerError, StopTradingError) as error:
        return tuple(broker.faults()) or (_sentence(str(error)),)
    return tuple(_sentence(fault) for fault in broker.faults())


def _sentence(words: str) -> str:
    return words if words.endswith(".") else f"{words}."


_ASKERS: Final[Mapping[str, Callable[[Question, Secrets, EnvBot, Path], Answer]]] = {"alpaca": _alpaca, "ibkr": _ibkr}
