"""The puts that the screener has listed for this session, and the newest quotes where SHORT_TYPE_* asks for puts."""

from msgspec import Struct
from msgspec.structs import replace

from bus.instruments import option_terms
from bus.messages import ListedPut, OptionsListed, QuoteBatch
from bus.quote_board import QuoteBoard
from services.strategy.puts import PutContract


class Chains(Struct, frozen=True, kw_only=True):
    """The chains of one session by underlying. The lists come back after a restart, from the journal; quotes do not."""

    session_date: str = ""
    listed: dict[str, OptionsListed] = {}
    board: QuoteBoard = QuoteBoard()

    def has(self, listed: OptionsListed) -> bool:
        """Tell whether this chain, or a newer one of the same name, is known in this session."""
        known = self.listed.get(listed.underlying) if self.session_date == listed.session_date else None
        return known is not None and known.ts_event >= listed.ts_event

    def age_ns(self, symbol: str, now_ns: int) -> int:
        """Return how long ago the chain of a name was asked for; 0 when there is none."""
        chain = self.listed.get(symbol)
        return 0 if chain is None else now_ns - chain.ts_event

    def listing(self, listed: OptionsListed) -> "Chains":
        """Return the chains with one more; another session begins anew."""
        if self.session_date != listed.session_date:
            return Chains(session_date=listed.session_date, listed={listed.underlying: listed}, board=self.board)
        return replace(self, listed=self.listed | {listed.underlying: listed})

    def heard(self, batch: QuoteBatch) -> "Chains":
        """Return the chains with newer quotes."""
        return replace(self, board=self.board.heard(batch))

    def contracts(self, symbol: str, session_date: str, since_ns: int) -> tuple[PutContract, ...] | None:
        """Return the puts on a name with their quotes, None when there is no chain of it in this session.

        A quote from before `since_ns` is too old to be a market: both sides then count as absent.
        """
        chain = self.listed.get(symbol) if self.session_date == session_date else None
        return None if chain is None else tuple(self._contract(put, since_ns) for put in chain.puts)

    def _contract(self, put: ListedPut, since_ns: int) -> PutContract:
        terms, quote = option_terms(put.symbol), self.board.quote_of(put.symbol)
        is_fresh = quote is not None and quote.ts_event >= since_ns
        return PutContract(
            symbol=put.symbol,
            expiry=terms.expiry,
            strike_micros=terms.strike_micros,
            bid_micros=quote.bid_micros if quote is not None and is_fresh else 0,
            ask_micros=quote.ask_micros if quote is not None and is_fresh else 0,
            open_interest=put.open_interest,
            delta_ppm=put.delta_ppm,
        )
