"""The newest quote of each symbol, out of batches of columns: kept as they came, looked into when somebody asks."""

from typing import Final

from msgspec import Struct

from bus.messages import Quote, QuoteBatch

#: A feed says few different lists of names. Of more than that the oldest are laid out by symbol.
_BATCHES_MAX: Final = 8


class QuoteBoard(Struct, frozen=True, gc=False):
    """Quotes heard so far: the newest batch of each list of names, newest first, and what older lists said."""

    batches: tuple[QuoteBatch, ...] = ()
    older: dict[str, Quote] = {}

    def heard(self, batch: QuoteBatch) -> "QuoteBoard":
        """Return the board with a newer batch."""
        batches = self.batches
        if batches and batches[0].symbols is batch.symbols:
            return QuoteBoard((batch, *batches[1:]), self.older)
        kept = tuple(one for one in batches if one.symbols != batch.symbols)
        older = self.older
        if len(kept) == _BATCHES_MAX:
            older = older | {quote.symbol: quote for quote in kept[-1].quotes}
            kept = kept[:-1]
        return QuoteBoard((batch, *kept), older)

    def quote_of(self, symbol: str) -> Quote | None:
        """Return the symbol's newest quote, None when none was heard."""
        for batch in self.batches:
            quote = batch.quote_of(symbol)
            if quote is not None:
                return quote
        return self.older.get(symbol)
