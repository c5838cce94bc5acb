"""The session's market data, by MARKET_DATA_SOURCE: opened once, checked in full, then played."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bus.assembly import CannotStartError
from bus.messages import MarketMessage, SessionPlanned
from config.env_bot import EnvBot
from services.screener.faults import LiveSourceError, NoSessionError, WrongDateError
from services.screener.lean import LeanFolder
from services.screener.lean_options import with_puts
from services.screener.settings import ScreenerSettings
from services.screener.steps import MarketDay, bars_in, crossed_quotes, messages, minutes_with_data


class MarketFeed:
    """The market data of one session at a time; the newest one opened is kept."""

    def __init__(self, settings: ScreenerSettings) -> None:
        self._settings = settings
        self._opened: tuple[SessionPlanned, MarketDay] | None = None

    def is_for(self, plan: SessionPlanned) -> bool:
        """Tell whether this plan is for the day in MARKET_DATA_DATE; live data has no such setting."""
        return self._settings.is_live or plan.session_date == self._settings.session_date

    def day(self, plan: SessionPlanned) -> MarketDay:
        """Return the session's data, read in full.

        Raises:
            CannotStartError: the plan, the settings and the data do not fit; the message says what to do.
        """
        if self._opened is None or self._opened[0] != plan:
            self._opened = (plan, self._open(plan))
        return self._opened[1]

    def messages(self, plan: SessionPlanned) -> Iterator[MarketMessage]:
        """Open the session's data and yield every market message in order.

        Raises:
            CannotStartError: as `day`, at the call and not at the first message.
        """
        return messages(self.day(plan), plan)

    def faults(self) -> Sequence[str]:
        """Return what can be said before a plan is known: whether the recorded files of the day are there."""
        try:
            # MARKET_DATA_SOURCE generated has no files.
            if self._settings.source == "recorded":
                self._folder().choose(self._settings.session_date, self._settings.symbols)
        except CannotStartError as error:
            return (str(error),)
        return ()

    def _folder(self) -> LeanFolder:
        return LeanFolder(Path(self._settings.data_dir).expanduser())

    def _open(self, plan: SessionPlanned) -> MarketDay:
        if not plan.is_trading_day or plan.close_ns <= plan.open_ns:
            raise NoSessionError(plan.session_date)
        if not self.is_for(plan):
            raise WrongDateError(self._settings.session_date, plan.session_date)
        if self._settings.is_live:
            raise LiveSourceError(self._settings.source)
        # MARKET_DATA_SOURCE chooses; only the generator needs numpy, so only then it is imported.
        if self._settings.source == "recorded":
            folder = self._folder()
            return with_puts(folder.load(plan, self._settings.symbols), folder.root, plan, self._settings.puts)
        from services.screener.generator import generate

        return generate(plan, self._settings.seed, self._settings.symbols)


def check_source(env: EnvBot, plan: SessionPlanned) -> str:
    """Open the source, read it in full, and return one line about what will be played.

    Raises:
        CannotStartError: anything is wrong with the settings or the data; the message says what to do.
    """
    settings = ScreenerSettings.from_env(env)
    if settings.is_live:
        source = "Interactive Brokers" if settings.ibkr is not None else f"Alpaca's {settings.alpaca_data_feed} feed"
        return f"live data of {source}: nothing is opened before the session"
    day = MarketFeed(settings).day(plan)
    crossed, puts = crossed_quotes(day), sum(len(chain.puts) for chain in day.chains)
    left_out = f", {crossed:,} crossed quotes left out" if crossed else ""
    return (
        f"{day.source}: {len(day.symbols) - puts} symbols, {minutes_with_data(day)} minutes, "
        f"{bars_in(day):,} bars{left_out}{f', {puts:,} puts' if puts else ''}"
    )
