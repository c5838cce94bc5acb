"""Everything that is taken from Interactive Brokers, over one connection to its gateway."""

from bus.clock import boot_ns, utc_ns
from bus.messages import SessionPlanned
from services.screener.ibkr_history import IbkrBars
from services.screener.ibkr_line import IbkrDataLine
from services.screener.ibkr_puts import IbkrChains, IbkrPutQuotes
from services.screener.ibkr_snapshots import IbkrSnapshots
from services.screener.ibkr_stream import IbkrStream, IbkrStreamSettings
from services.screener.ibkr_vix import IbkrVix
from services.screener.live_world import quiet_of
from services.screener.settings import IbkrDataAccess, PutWindow, ScreenerSettings
from services.screener.vix import VixSource


class IbkrWorld:
    """A `LiveWorld` of Interactive Brokers. The connection is made when something is asked for first."""

    limit_key = "IBKR_STREAM_SYMBOLS_MAX"
    words = "Interactive Brokers' market data"

    def __init__(self, access: IbkrDataAccess, settings: ScreenerSettings) -> None:
        self._settings = settings
        self._line = IbkrDataLine(access, boot_ns)

    def snapshots(self) -> IbkrSnapshots:
        """Return where the names' prices come from."""
        settings = self._settings
        return IbkrSnapshots(
            self._line, lines_max=settings.ibkr_lines_max // 2, symbols_max=settings.ibkr_list_symbols_max
        )

    def past(self) -> IbkrBars:
        """Return where missed minutes come from."""
        return IbkrBars(self._line, utc_ns)

    def stream(self, plan: SessionPlanned) -> IbkrStream:
        """Return the stream of one session; what could not be had of names in an earlier one is tried again."""
        self._line.unusable.clear()
        return IbkrStream(self._line, IbkrStreamSettings(quiet_s=quiet_of(plan, self._settings), utc_ns=utc_ns))

    def put_quotes(self) -> IbkrPutQuotes:
        """Return where the quotes of puts come from."""
        return IbkrPutQuotes(self._line, utc_ns)

    def chains(self, window: PutWindow) -> IbkrChains:
        """Return where chains come from."""
        return IbkrChains(self._line, window)

    def vix(self, file: VixSource) -> IbkrVix:
        """Return what asks for the index; `file` is for an account that may not see it."""
        return IbkrVix(self._line, file, utc_ns=utc_ns)

    def close(self) -> None:
        """End the connection."""
        self._line.close()
