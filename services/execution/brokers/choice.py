"""Which broker orders go to: BROKER_NAME names it, and only that one is opened or even imported."""

from collections.abc import Callable, Mapping
from typing import Final

from bus.assembly import CannotStartError, Setup
from config.credentials import ALPACA_TRADING_KEY, ALPACA_TRADING_SECRET
from config.vault import Vault, VaultError
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.settings import AlpacaSettings, ExecutionSettings, IbkrSettings

PAPER_BOOKS: Final = "paper_broker.db"
IBKR_BOOKS: Final = "ibkr_books.db"


def open_broker(setup: Setup, settings: ExecutionSettings) -> Broker:
    """Open the broker that BROKER_NAME names.

    Raises:
        CannotStartError: it cannot be opened, or is not a broker of this version.
    """
    opener = _OPENERS.get(settings.broker_name)
    if opener is None:
        raise CannotStartError(
            f"BROKER_NAME is '{settings.broker_name}', but this version trades through {' and '.join(_OPENERS)} only: "
            "set BROKER_NAME to one of these on the configuration page"
        )
    if setup.is_buffered and settings.broker_name != "PAPER":
        raise CannotStartError(
            f"a replay trades at the embedded paper broker alone, not through {settings.broker_name}"
        )
    try:
        return opener(setup, settings)
    except (RetryableBrokerError, StopTradingError) as error:
        raise CannotStartError(str(error)) from error


def _paper(setup: Setup, settings: ExecutionSettings) -> Broker:
    from services.execution.brokers.paper import PaperBroker
    from services.execution.settings import paper_rules

    setup.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return PaperBroker(
        setup.paths.state / PAPER_BOOKS,
        starting_cash_micros=settings.paper_starting_cash_micros,
        slippage_ppm=settings.paper_slippage_ppm,
        is_buffered=setup.is_buffered,
        commission=settings.paper_commission,
        rules=paper_rules(setup.env),
    )


def _alpaca(setup: Setup, _settings: ExecutionSettings) -> Broker:
    # Only this needs alpaca-py and the pandas that it brings.
    from services.execution.brokers.alpaca import AlpacaBroker

    own = AlpacaSettings.from_env(setup.env)
    # ALPACA_ENDPOINT: the simulator is on this machine and must never see the operator's keys, so they stay shut in.
    kept: Mapping[str, str] = {}
    if own.endpoint != "simulator":
        try:
            kept = Vault(setup.paths).open(setup.generation).credentials
        except VaultError as error:
            raise CannotStartError(str(error)) from error
    keys = kept.get(ALPACA_TRADING_KEY, ""), kept.get(ALPACA_TRADING_SECRET, "")
    return AlpacaBroker(keys, own.endpoint, simulator_port=own.simulator_port)


def _ibkr(setup: Setup, _settings: ExecutionSettings) -> Broker:
    # Only this needs Interactive Brokers' library.
    from services.execution.brokers.ibkr import IbkrBroker
    from services.execution.brokers.ibkr_line import IbkrAccess

    own = IbkrSettings.from_env(setup.env)
    setup.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return IbkrBroker(
        IbkrAccess(port=own.port, client_id=own.client_id, account=own.account, mode=own.mode),
        library=own.library,
        path=setup.paths.state / IBKR_BOOKS,
    )


_OPENERS: Final[Mapping[str, Callable[[Setup, ExecutionSettings], Broker]]] = {
    "PAPER": _paper,
    "ALPACA": _alpaca,
    "IBKR": _ibkr,
}
