"""The strategy service: decides which names to buy, across the whole watch list at once.

Decides: when a name should be bought and when sold again, by each strategy's rule, and what a bearish signal buys;
by which rule none. A strategy is a plug-in: open.py, mid.py, close.py implement the class of strategy.py.
Hears: SessionPlanned and HaltRaised (watchdog), CandidatesRanked, OptionsListed, VixObserved and market data
(screener).
Says: SignalRaised and ExitSignalled to risk. RangeCompleted and SignalSuppressed stay in its own journal.
Owns: state/strategy.db, through the runtime; it touches nothing else.
"""
