"""The page for people against the code: the table of checks, the worked example, the halts."""

from pathlib import Path
from typing import Final

from bus.messages import MICROS, NANOS
from config.env_bot import parse, proposals
from services.risk import halts
from services.risk.checks import CHECKS
from services.risk.settings import RiskSettings
from services.risk.sizing import FRACTION_STEP_NANOS, Means, Wanted, size_entry

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "risk.md"


def test_table_when_the_code_has_these_checks_then_the_page_shows_them_in_their_order() -> None:
    rows = [
        f"| `{check.rule}` | {check.words} | {', '.join(f'`{key}`' for key in check.settings) or '-'} |"
        for check in CHECKS
    ]
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = lines.index("| rule | asks | settings |") + 2
    assert lines[first : first + len(rows)] == rows
    assert not lines[first + len(rows)].startswith("|")


def test_example_when_it_is_reckoned_by_the_code_then_the_page_is_right() -> None:
    means = Means(
        start_equity_micros=100_000 * MICROS,
        allocated_micros=38_000 * MICROS,
        cash_micros=62_000 * MICROS,
        buying_power_micros=62_000 * MICROS,
    )
    limits = RiskSettings.from_env(parse(proposals()))
    whole = size_entry(limits, means, Wanted(ask_micros=48_200_000, trail_bps=200))
    part = size_entry(limits, means, Wanted(ask_micros=48_200_000, trail_bps=200, step_nanos=FRACTION_STEP_NANOS))
    assert (whole.qty_nanos, whole.bound) == (129 * NANOS, "TOTAL_ALLOCATION / MAX_OPEN_POSITIONS")
    assert part.qty_nanos == 129_668_000_000
    text = PAGE.read_text(encoding="utf-8")
    assert "129 shares are ordered. They cost $6,217.80 and lose $124.36 at their stop." in text
    assert "129.668 in the example" in text
    assert (129 * 48_200_000, 129 * 48_200_000 * 2 // 100) == (6_217_800_000, 124_356_000)


def test_halts_when_the_code_raises_them_then_the_page_names_them() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for rule in (halts.REPEATED, halts.REJECTIONS):
        assert f"| `{rule}` |" in text
