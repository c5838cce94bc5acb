"""The paper broker's books in memory, put into their file when they are closed: for a replay, which nobody resumes."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from services.execution.brokers.matching import BookOrder
from services.execution.brokers.paper_books import Account, Execution, Expiry, PaperBooks


class BufferedBooks(PaperBooks):
    """Books that are asked and written as the others are, and are on disk only after `close`."""

    def __init__(self, path: Path, starting_cash_micros: int) -> None:
        """Open the books.

        Raises:
            RetryableBrokerError: another process holds the file.
            StopTradingError: the file is damaged, is something else, or cannot be written.
        """
        super().__init__(path, starting_cash_micros)
        self._cash = super().account()
        self._orders = {order.client_order_id: order for order in super().orders()}
        self._executions = super().executions_after(0)
        self._of_order: dict[str, list[Execution]] = {}
        for execution in self._executions:
            self._of_order.setdefault(execution.client_order_id, []).append(execution)
        self._held = super().positions()
        self._newest_order, self._kept = super().newest_seqs()
        self._moved: set[str] = set()
        self._expired: list[Expiry] = []

    def write(
        self,
        *,
        account: Account,
        orders: Iterable[BookOrder] = (),
        executions: Iterable[Execution] = (),
        positions: Mapping[str, int] | None = None,
        expiries: Iterable[Expiry] = (),
    ) -> None:
        """Keep changed rows until the books are closed."""
        self._cash = account
        for order in orders:
            self._orders[order.client_order_id] = order
            self._newest_order = max(self._newest_order, order.seq)
        for execution in executions:
            self._executions.append(execution)
            self._of_order.setdefault(execution.client_order_id, []).append(execution)
        self._expired.extend(expiries)
        if positions:
            self._held.update(positions)
            self._moved.update(positions)

    def account(self) -> Account:
        """Return cash and the newest step."""
        return self._cash

    def working_orders(self) -> list[BookOrder]:
        """Return the orders that may still fill, in the order of acceptance."""
        working = (order for order in self._orders.values() if order.state == "WORKING")
        return sorted(working, key=lambda order: order.seq)

    def order(self, client_order_id: str) -> BookOrder | None:
        """Return one order, whatever its state, or None when there never was one."""
        return self._orders.get(client_order_id)

    def newest_seqs(self) -> tuple[int, int]:
        """Return the numbers of the newest order and the newest execution; 0 = none."""
        return self._newest_order, len(self._executions)

    def positions(self) -> dict[str, int]:
        """Return what is held, by symbol; symbols sold out are absent."""
        return {symbol: qty for symbol, qty in sorted(self._held.items()) if qty > 0}

    def executions_after(self, seq: int) -> list[Execution]:
        """Return every execution with a higher number, in order."""
        return self._executions[seq:]

    def executions_of(self, client_order_id: str) -> list[Execution]:
        """Return every execution of one order, in order."""
        return list(self._of_order.get(client_order_id, ()))

    def expiries(self) -> list[Expiry]:
        """Return every option that expired while it was held."""
        return [*super().expiries(), *self._expired]

    def faults(self) -> list[str]:
        """Return one sentence for each way in which the file does not agree with its own executions."""
        return [] if self._moved else super().faults()

    def close(self) -> None:
        """Put everything into the file, in one transaction, and close it.

        Raises:
            RetryableBrokerError: the file is locked.
            StopTradingError: the file cannot be written.
        """
        super().write(
            account=self._cash,
            orders=self._orders.values(),
            executions=self._executions[self._kept :],
            positions={symbol: self._held.get(symbol, 0) for symbol in self._moved},
            expiries=self._expired,
        )
        super().close()
