"""The ledger: keeps the books of one broker account, in double entry.

Decides how a fill or a movement of cash is booked: which accounts, which lots at what cost, which gain.
Hears: OrderFilled, FillReversed, CashMoved, ContractsExpired, ContractsExercised, SharesSplit and AccountStated from
execution; ReserveAllocated and BooksRequested from the holdings; operators' commands and questions from the web UI.
Says: EntryPosted and BooksCompared (kept in its own journal), EntrySuspended to the watchdog, BooksReported to the
holdings, ReservesStated to risk, LedgerSnapshot for status.
Owns: entities/{ENTITY}_{JURISDICTION}/{BOT_IDENTITY}_BOT_ledger.db, its backups/ beside it and its head in state/; it
alone writes there. It takes
control/provision_ledger.json, the web interface's request to open a new ledger.
"""
