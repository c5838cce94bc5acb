"""Orders that are filled in part, or cannot be: the night goes on from what there is, the next one does the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from evening import Evening

from bus.messages import NANOS, AssetLine, HoldingsOrderEnded, HoldingsOrderRequested, NightEnded
from services.execution.brokers.paper import PaperBroker


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    made = Evening(tmp_path)
    yield made
    made.close()


def held(evening: Evening) -> dict[str, int]:
    return {symbol: sum(lot.left_nanos for lot in lots) for symbol, lots in evening.ledger.lots.items()}


def test_an_order_that_the_market_fills_in_part_is_cancelled_and_the_next_night_buys_the_rest(
    evening: Evening,
) -> None:
    # A tenth of a share a second is quoted: the window ends before 54 and 72 shares are there.
    evening.size_nanos = NANOS // 10
    evening.night(last=299)
    bought = evening.fills()
    assert 0 < bought["AAA"] < 54 * NANOS
    assert 0 < bought["BBB"] < 72 * NANOS
    ends = evening.of("execution", HoldingsOrderEnded)
    assert {one.symbol: one.filled_nanos for one in ends} == bought
    [ended] = evening.of("holdings", NightEnded)
    assert ended.outcome == "DONE"
    assert "AAA" in ended.detail
    assert held(evening) == bought
    evening.size_nanos = 10**6 * NANOS
    evening.night()
    assert held(evening) == {"AAA": 54 * NANOS, "BBB": 72 * NANOS}
    assert evening.balance("1010") == 1_000.0


def assets(**not_tradable: bool) -> Any:
    def told(_self: PaperBroker, symbols: Any, _now_ns: int) -> list[AssetLine]:
        return [
            AssetLine(symbol=s, is_tradable=s not in not_tradable, is_fractionable=True, is_shortable=False)
            for s in symbols
        ]

    return patch.object(PaperBroker, "assets", told)


def test_a_fund_that_may_not_be_traded_is_left_and_its_part_stays_in_cash(tmp_path: Path) -> None:
    with assets(BBB=True):
        evening = Evening(tmp_path)
        evening.night()
        assert {one.symbol for one in evening.of("holdings", HoldingsOrderRequested)} == {"AAA"}
        assert held(evening) == {"AAA": 54 * NANOS}
        assert evening.balance("1010") == 4_600.0
        evening.close()
