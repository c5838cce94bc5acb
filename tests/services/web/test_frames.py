"""Every message of the catalogue can be shown."""

from typing import get_args

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


def example(kind: type[m.Message]) -> m.Message:
    """Make a message with the simplest value of each field that the decoder accepts."""
    values: dict[str, object] = {}
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    for name, rule in schema.items():
        simplest = {"integer": min(5, rule.get("maximum", 5)), "boolean": True, "array": [], "string": "X"}
        # What may be absent is absent.
        known = None if "anyOf" in rule else simplest[rule["type"]] if "type" in rule else ""
        values[name] = rule["enum"][0] if "enum" in rule else known
    return msgspec.convert(values, kind)


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
    view = frames.portfolio_view(snapshot)
    assert (view["day_pnl_bps"], view["loss_used_bps"], view["allocation_used_bps"]) == (0, 0, 0)
