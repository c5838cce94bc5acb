"""Every message of the catalogue can be shown."""

from typing import Any, get_args

import msgspec
import pytest

from bus import messages as m
from services.web import frames

KINDS = get_args(m.ReliableMessage)


@pytest.mark.parametrize(
    ("scaled", "scale", "places", "text"),
    [
        (0, 1_000_000, 2, "0.00"),
        (-1, 1_000_000, 2, "-0.000001"),
        (-1_500_000, 1_000_000, 2, "-1.50"),
        (2**62, 1_000_000, 2, "4611686018427.387904"),
        (10**9, 10**9, 0, "1"),
        (1, 10**9, 0, "0.000000001"),
    ],
)
def test_decimal_when_written_then_is_exact(scaled: int, scale: int, places: int, text: str) -> None:
    assert frames.decimal_text(scaled, scale, places) == text


def simplest(rule: dict[str, Any], known: dict[str, Any]) -> Any:
    """Return the simplest value that a rule of a JSON schema accepts; of something optional, that it is there."""
    if "$ref" in rule:
        found = known[rule["$ref"].rsplit("/", 1)[-1]]
        if "prefixItems" in found:
            return [simplest(part, known) for part in found["prefixItems"]]
        return {name: simplest(part, known) for name, part in found["properties"].items()}
    if "anyOf" in rule:
        return simplest(rule["anyOf"][0], known)
    values = {"integer": min(5, rule.get("maximum", 5)), "boolean": True, "array": [], "string": "X"}
    return rule["enum"][0] if "enum" in rule else values[rule["type"]]


def example(kind: type[m.Message]) -> m.Message:
    """Make a message with the simplest value of each field that the decoder accepts."""
    known = msgspec.json.schema(kind)["$defs"]
    return msgspec.convert(simplest({"$ref": kind.__name__}, known), kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_event_line_when_of_any_kind_then_has_a_sentence_and_is_json(kind: type[m.Message]) -> None:
    line = frames.event_line(example(kind), 7)
    assert line["kind"] == kind.__name__
    assert line["text"]
    assert line["level"] in {"info", "warn", "bad"}
    assert msgspec.json.decode(msgspec.json.encode(line)) == line


def test_share_when_whole_is_zero_then_is_zero() -> None:
    snapshot = m.PortfolioSnapshot(
        ts_event=1,
        ts_init=1,
        session_date="",
        start_equity_micros=0,
        equity_micros=0,
        realized_micros=0,
        unrealized_micros=0,
        loss_limit_micros=0,
        allocated_micros=0,
        allocation_limit_micros=0,
        positions=(),
        denied=(),
        denied_total=0,
    )
    view = frames.portfolio_view(snapshot, {}, {})
    assert (view["day_pnl_bps"], view["loss_used_bps"], view["allocation_used_bps"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("part", "whole", "nearest"),
    [(-1_297_600, 100_000, -13), (1_297_600, 100_000, 13), (4, 10, 0), (-4, 10, 0), (5, 10, 1), (-5, 10, -1)],
)
def test_share_when_it_is_between_two_numbers_then_the_nearer_one_is_shown(part: int, whole: int, nearest: int) -> None:
    assert frames.rounded(part, whole) == nearest


def test_result_when_it_is_a_part_of_a_hundredth_of_a_percent_then_is_rounded_and_not_cut() -> None:
    snapshot = m.PortfolioSnapshot(
        ts_event=1, ts_init=1, session_date="2025-03-12", start_equity_micros=100_000 * m.MICROS,
        equity_micros=99_870_240_000, realized_micros=-129_760_000, unrealized_micros=0,
        loss_limit_micros=2_000 * m.MICROS, allocated_micros=0, allocation_limit_micros=1, positions=(), denied=(),
        denied_total=0,
    )  # fmt: skip
    view = frames.portfolio_view(snapshot, {}, {})
    assert (view["day_pnl"], view["day_pnl_bps"]) == ("-129.76", -13)
    assert view["loss_used_bps"] == 649


def test_kill_switch_when_the_loss_is_counted_from_a_peak_then_the_sentence_names_it() -> None:
    day: dict[str, Any] = {"ts_event": 1, "ts_init": 1, "session_date": "2025-03-12", "limit_micros": 2_000 * m.MICROS}
    from_start = m.KillSwitchTripped(**day, pnl_micros=-2_001 * m.MICROS)
    from_peak = m.KillSwitchTripped(**day, pnl_micros=-1_500 * m.MICROS, peak_micros=600 * m.MICROS)
    assert frames.event_line(from_start, 1)["text"] == "Kill switch: the day is at $-2001.00, the limit is $2000.00"
    assert frames.event_line(from_peak, 2)["text"] == (
        "Kill switch: the day is at $-1500.00, $2100.00 below its best of $600.00, the limit is $2000.00"
    )


def test_peak_when_it_rises_then_the_sentence_says_what_it_is_for() -> None:
    line = frames.event_line(m.ResultPeaked(ts_event=1, ts_init=1, session_date="d", peak_micros=620 * m.MICROS), 1)
    assert line["level"] == "info"
    assert "best result so far, rounded up: $620.00" in line["text"]
    assert "The loss limit is counted from it" in line["text"]


def account(**changes: Any) -> m.AccountReported:
    values: dict[str, Any] = {
        "session_date": "2025-03-12",
        "broker": "ALPACA",
        "cash_micros": 1_000_500_000,
        "buying_power_micros": 2_001_000_000,
        "symbols": ("AAPL", "TSLA"),
        "qtys_nanos": (40 * m.NANOS, -5 * m.NANOS),
    }
    return m.AccountReported(ts_event=1, ts_init=1, **{**values, **changes})


def test_account_when_a_position_is_short_then_its_sign_is_said() -> None:
    assert frames.event_line(account(), 1)["text"] == (
        "The account at ALPACA: $1000.50 cash, $2001.00 buying power, positions: AAPL 40, TSLA -5 (short)"
    )


def test_account_when_it_holds_nothing_or_very_much_then_the_sentence_stays_one() -> None:
    assert frames.event_line(account(symbols=(), qtys_nanos=()), 1)["text"].endswith("buying power, no positions")
    many = account(symbols=tuple(f"S{n}" for n in range(30)), qtys_nanos=(m.NANOS,) * 30)
    text = frames.event_line(many, 2)["text"]
    assert text.endswith("S19 1 and 10 more")


def test_portfolio_when_the_loss_is_counted_from_a_peak_then_the_used_share_and_the_line_are_too() -> None:
    day: dict[str, Any] = {
        "ts_event": 1,
        "ts_init": 1,
        "session_date": "2025-03-12",
        "start_equity_micros": 100_000 * m.MICROS,
        "equity_micros": 100_100 * m.MICROS,
        "realized_micros": 0,
        "unrealized_micros": 100 * m.MICROS,
        "loss_limit_micros": 2_000 * m.MICROS,
        "allocated_micros": 0,
        "allocation_limit_micros": 0,
        "positions": (),
        "denied": (),
        "denied_total": 0,
    }
    from_start = frames.portfolio_view(m.PortfolioSnapshot(**day), {}, {})
    assert (from_start["peak"], from_start["loss_used_bps"], from_start["loss_line"]) == ("0.00", 0, "98000.00")
    from_peak = frames.portfolio_view(m.PortfolioSnapshot(**day, peak_micros=600 * m.MICROS), {}, {})
    assert (from_peak["peak"], from_peak["loss_used_bps"], from_peak["loss_line"]) == ("600.00", 2_500, "98600.00")
