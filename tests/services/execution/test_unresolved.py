"""unresolved_orders.log: what nobody knew of an order, and what became of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.orders import OrderState
from services.execution.recovery import RETRY_NS
from services.execution.unresolved import LOG_NAME


def lines(folder: Path) -> list[str]:
    path = folder / LOG_NAME
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_order_when_it_becomes_unknown_and_is_found_then_has_a_line_for_each(
    open_broker: Callable[..., PaperBroker], kit: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "output" / "logs"
    rig = kit.Rig(kit.Unreliable(open_broker()), logs=folder).armed()
    rig.market(kit.spy(1))
    assert lines(folder) == []
    rig.broker.errors["submit"] = [RetryableBrokerError("time-out:\nno answer")]
    rig.broker.acts_before_failing = True
    rig.give(kit.submit())
    key = kit.order_id("entry")
    first = f"2013-10-08T13:30:01.000Z {key} entry BUY 100 SPY UNKNOWN: time-out: no answer"
    assert lines(folder) == [first]
    rig.boot_ns = RETRY_NS[0]
    rig.now_ns += kit.SECOND // 2
    rig.idle()
    assert lines(folder) == [
        first,
        f"2013-10-08T13:30:01.500Z {key} entry BUY 100 SPY RESOLVED as WORKING after 500 ms: "
        "the broker has it as PO-000001",
    ]


def test_order_when_it_was_never_there_then_the_line_says_what_proves_it(
    open_broker: Callable[..., PaperBroker], kit: Any, tmp_path: Path
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()), logs=tmp_path).armed()
    rig.broker.errors["submit"] = [RetryableBrokerError("connection reset")]
    rig.give(kit.submit())
    rig.boot_ns = RETRY_NS[0]
    rig.idle()
    assert rig.state.find(kit.order_id("entry")).state is OrderState.EXPIRED
    assert "RESOLVED as EXPIRED" in lines(tmp_path)[1]
    assert lines(tmp_path)[1].endswith("the broker does not have it: 1 answer(s) over 0 s")


def test_order_when_it_is_unknown_at_a_restart_then_says_so_and_its_end_too(
    open_broker: Callable[..., PaperBroker], kit: Any, tmp_path: Path
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.broker.errors["submit"] = [RetryableBrokerError("time-out")]
    rig.broker.acts_before_failing = True
    rig.give(kit.submit())
    again = kit.Rig(kit.Unreliable(open_broker()), journal=rig.journal, logs=tmp_path)
    again.start()
    first, second = lines(tmp_path)
    assert "STILL UNKNOWN after a restart" in first
    assert "RESOLVED as WORKING" in second
