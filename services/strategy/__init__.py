"""The strategy service: decides which names to buy, across the whole watch list at once.

Decides: opening ranges, breakouts, and what a bearish signal buys; by which rule none.
Hears: SessionPlanned and HaltRaised (watchdog), CandidatesRanked and market data (screener).
Says: SignalRaised to risk. RangeCompleted and SignalSuppressed stay in its own journal.
Owns: state/strategy.db, through the runtime; it touches nothing else.
"""
