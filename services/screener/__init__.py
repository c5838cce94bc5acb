"""Market data and candidates.

Decides: which names are worth watching today, with a reason for each rule and each name; which puts are listed.
Hears: `SessionPlanned` and `ChainStatus` from the watchdog; the end of each replay step from execution; what is held,
`PortfolioSnapshot`, from risk.
Says: `CandidatesRanked`, and `OptionsListed` where puts are bought, to strategy and risk; `VixObserved` to strategy;
market data (`QuoteBatch`, `BarBatch`,
`PastBars`, `FeedEnded`) to all who listen. Live data, prices and chains come from Alpaca or Interactive Brokers.
Owns: its journal and outbox, `state/screener.db`; the universe, `state/universe.json`, and what Finnhub answered,
`state/universe_cache.db`; the lists in `output/{BOT_IDENTITY}/screener`. It only reads the folder of recorded minutes.
"""
