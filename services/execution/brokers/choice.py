"""Which broker orders go to: BROKER_NAME names it, and only that one is opened or even imported."""

from collections.abc import Callable, Mapping
from typing import Final

from bus.assembly import CannotStartError, Setup
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.settings import ExecutionSettings

PAPER_BOOKS: Final = "paper_broker.db"


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


_OPENERS: Final[Mapping[str, Callable[[Setup, ExecutionSettings], Broker]]] = {"PAPER": _paper}
