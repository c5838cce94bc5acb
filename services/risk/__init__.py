"""The risk service: no order exists that it did not approve.

Decides: whether a signal becomes an order, how many shares, and whether the day's loss stops the chain. Every
path without a fact denies.
Hears: SessionPlanned, HaltRaised, ChainArmed, ChainDisarmed, CandidatesRanked, OptionsListed, SignalRaised,
ExitSignalled, AccountReported, AssetsReported, OrderRejected, OrderExpired, OrderCancelled, OrderFilled, FillReversed,
IntentClosed, FundsQuoteRequested, HoldingsOrderRequested, ReservesStated, and the market's quotes and bars.
Says: SubmitOrder, CloseIntent, OrderDenied, KillSwitchTripped, ResultPeaked, HoldingsWindowOpened, FundsQuoted,
HoldingsOrderDenied, halts of its own, and
PortfolioSnapshot on the status topic.
Owns: state/risk.db, its journal, outbox and cursors.
"""
