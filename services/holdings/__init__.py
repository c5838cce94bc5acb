"""The long-term holdings: funds, the float of cash beside them, and what of the gains is set aside.

Decides: after each session how much is owed to the tax and payroll reserves, what is sold to restore the float, what
is bought with the rest, and when the funds are put back on their targets.
Hears: SessionPlanned from the watchdog, HoldingsWindowOpened, FundsQuoted and HoldingsOrderDenied from risk,
HoldingsOrderEnded from execution, BooksReported from the ledger.
Says: FundsQuoteRequested and HoldingsOrderRequested to risk, BooksRequested and ReserveAllocated to the ledger,
NightBegan, GainsAllocated and NightEnded (kept in its own journal), HoldingsSnapshot for status.
Owns: state/holdings.db, and output/{BOT_IDENTITY}/holdings/, the record of each night, never written over.
"""
