"""Everything that is taken from Alpaca, or from a simulated one on this machine."""

import time
from typing import Final

from bus.assembly import CannotStartError, Setup
from bus.clock import boot_ns, utc_ns
from bus.messages import SessionPlanned
from config.credentials import alpaca_data_pair
from config.vault import Vault, VaultError
from services.screener.alpaca_bars import AlpacaBars
from services.screener.alpaca_puts import TRADING_URLS, AlpacaChains, AlpacaPutQuotes
from services.screener.alpaca_rest import DATA_URL, AlpacaRest
from services.screener.alpaca_stream import STREAM_URL, AlpacaStream, StreamSettings
from services.screener.live_world import VixTeller, quiet_of
from services.screener.settings import PutWindow, ScreenerSettings
from services.screener.snapshots import SnapshotError, SnapshotSource
from services.screener.vix import VixSource

#: A simulated exchange on this machine takes any keys.
_SIMULATOR_KEYS: Final = ("SIMULATED-KEY", "SIMULATED-SECRET")


class AlpacaWorld:
    """A `LiveWorld` of Alpaca."""

    limit_key = "ALPACA_STREAM_SYMBOLS_MAX"

    def __init__(self, setup: Setup, settings: ScreenerSettings) -> None:

        self._setup = setup
        self._settings = settings
        is_simulated, port = settings.is_simulated, settings.simulator_port
        self._data_url = f"http://127.0.0.1:{port}" if is_simulated else DATA_URL
        root = f"ws://127.0.0.1:{port}/v2" if is_simulated else STREAM_URL
        self._stream_url = f"{root}/{settings.alpaca_data_feed}"

    @property
    def words(self) -> str:
        """Return the feed's name."""
        return f"Alpaca's {self._settings.alpaca_data_feed} feed"

    def keys(self) -> tuple[str, str]:
        """Return the key pair for market data.

        Raises:
            CannotStartError: there is none.
        """
        if self._settings.is_simulated:
            # It never gets the operator's keys.
            return _SIMULATOR_KEYS
        try:
            pair = alpaca_data_pair(Vault(self._setup.paths).open(self._setup.generation).credentials)
        except VaultError as error:
            raise CannotStartError(f"The keys for market data cannot be read: {error}") from error
        if all(pair):
            return pair
        raise CannotStartError(
            "There is no Alpaca key pair for market data: live data needs the credentials alpaca_data_key and "
            "alpaca_data_secret in the vault, or the pair that trades. Enter one on the configuration page."
        )

    def snapshots(self) -> SnapshotSource:
        """Return where the names' prices come from; the first call loads a large library."""
        from services.screener.alpaca_snapshots import AlpacaSnapshots

        try:
            return AlpacaSnapshots(
                self.keys(),
                self._settings.alpaca_data_feed,
                sleep=time.sleep,
                utc_ns=utc_ns,
                url=self._data_url if self._settings.is_simulated else None,
            )
        except SnapshotError as error:
            raise CannotStartError(str(error)) from error

    def past(self) -> AlpacaBars:
        """Return where missed minutes come from."""
        return AlpacaBars(AlpacaRest(self.keys(), url=self._data_url), self._settings.alpaca_data_feed)

    def stream(self, plan: SessionPlanned) -> AlpacaStream:
        """Return the stream of one session."""
        quiet_s = quiet_of(plan, self._settings)
        wire = StreamSettings(url=self._stream_url, quiet_s=quiet_s, utc_ns=utc_ns, boot_ns=boot_ns)
        return AlpacaStream(self.keys(), wire)

    def put_quotes(self) -> AlpacaPutQuotes:
        """Return where the quotes of puts come from."""
        return AlpacaPutQuotes(AlpacaRest(self.keys(), url=self._data_url), self._settings.alpaca_options_feed)

    def chains(self, window: PutWindow) -> AlpacaChains:
        """Return where chains come from."""
        urls = (self._data_url,) if self._settings.is_simulated else TRADING_URLS
        trading = [AlpacaRest(self.keys(), url=url) for url in urls]
        data = AlpacaRest(self.keys(), url=self._data_url)
        return AlpacaChains(trading, data, self._settings.alpaca_options_feed, window)

    def vix(self, file: VixSource) -> VixTeller:
        """Return the file: Alpaca has no indexes."""
        return file

    def close(self) -> None:
        """Do nothing: what it gave is closed by itself."""
