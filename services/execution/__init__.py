"""Orders: one order per approved intent, its protective stop, its exit; never doubled, never lost.

Decides: when an order is prepared, cancelled, expired, protected and closed, and what a broker's answer
means.
Hears: SessionPlanned, HaltRaised (watchdog); SubmitOrder, CloseIntent, KillSwitchTripped (risk); ChainArmed,
ChainDisarmed (control folder); market data, for what is due by time, for targets, fractions and options, for its own
limits on an entry, and for the embedded paper broker.
Says: AccountReported, AssetsReported, OrderAccepted, OrderRejected, OrderExpired, OrderCancelled, OrderFilled,
FillReversed, IntentClosed (risk); OrderFilled, FillReversed, CashMoved, ContractsExpired, ContractsExercised,
SharesSplit, AccountStated (ledger).
Owns: its journal; `unresolved_orders.log`; and, through the embedded paper broker, `state/paper_broker.db`, the
broker's own books.
"""
