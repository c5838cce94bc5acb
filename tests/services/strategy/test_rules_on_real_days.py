"""All three strategies on whole days against the naive rules: the same signals in the same minutes and numbers."""

import re
from fractions import Fraction
from pathlib import Path

import naive_rules as naive
import numpy as np
import pytest
import recorded_days as days

from bus import messages as m
from services.strategy import indicators as ind
from services.strategy.arrays import as_array
from services.strategy.watch_list import minute_of, watch_list

TABLE = Path(__file__).with_name("signals_2013-10.txt")
#: 1e-9 is the agreement that is promised; what is reached is near the last digit of a float.
RELATIVE = 1e-9


@pytest.mark.parametrize(("threshold", "adx_max"), [("0.8", "40"), ("0.3", "25"), ("0.3", "100")])
@pytest.mark.parametrize("session", days.SESSIONS, ids=str)
def test_signals_when_a_day_is_played_then_those_of_the_naive_rules(
    session: days.Session, threshold: str, adx_max: str
) -> None:
    env = days.settings(STRAT_MID_VWAP_THRESHOLD=threshold, STRAT_MID_ADX_MAX=adx_max)
    rules = naive.Rules(threshold=Fraction(threshold), adx_max=float(adx_max))
    said = {symbol: naive.everything(bars, rules) for symbol, bars in session.bars(env).items()}
    found = days.keys_of(session.events(env), days.planned(session.day, env).open_ns)
    assert found == days.keys_of_the_oracle(said)
    assert {key[1] for key in found} >= {"open", "close"}


@pytest.mark.parametrize("session", days.SESSIONS, ids=str)
def test_signals_when_raised_then_their_words_carry_the_naive_numbers(session: days.Session) -> None:
    env = days.settings(STRAT_MID_VWAP_THRESHOLD="0.3")
    rules = naive.Rules(threshold=Fraction("0.3"))
    oracle = {
        (symbol, one.side): one
        for symbol, bars in session.bars(env).items()
        for one in naive.reversion(bars, rules)
        if one.what == "signal"
    }
    raised = [e for e in session.events(env) if isinstance(e, m.SignalRaised) and e.strategy == "mid"]
    for signal in raised:
        close, vwap, band, adx, atr = oracle[signal.symbol, signal.direction].numbers
        away, beyond, trend, _, leaves = signal.reasons
        assert [float(word) for word in re.findall(r"\$([\d.]+)", away.value)] == [
            pytest.approx(close),
            pytest.approx(vwap, abs=1e-6),
        ]
        assert f"{band:.6f}".rstrip("0") in beyond.threshold
        assert f"ADX {adx:.1f} " in trend.value
        assert "at VWAP" in leaves.value
        assert signal.trail_bps == min(max(-(-atr * rules.stop_atr / close * 10_000 // 1), 10), 200)


@pytest.mark.parametrize("session", days.SESSIONS, ids=str)
def test_indicators_when_a_day_is_folded_then_within_1e9_of_the_naive_ones_in_every_minute(
    session: days.Session,
) -> None:
    env, rules = days.settings(), naive.Rules()
    bars = {symbol: day for symbol, day in session.bars(env).items() if symbol in ("SPY", "AIG", "IBM", "THNQ", "ALVQ")}
    symbols = tuple(bars)
    watch = watch_list(days.ranked(session.day, symbols))
    plan = days.planned(session.day, env)
    batches = [data for data in days.messages(session.market(plan), plan) if isinstance(data, m.BarBatch)]
    sums, closes = ind.blank_vwap(len(symbols)), ind.blank_closes(len(symbols), rules.period)
    directional = ind.blank_directional(len(symbols))
    averages = {symbol: naive.vwaps(day) for symbol, day in bars.items()}
    compared = 0
    for batch in batches:
        minute, _ = minute_of(watch, batch, None)
        ind.fold_vwap(sums, minute)
        ind.fold_closes(closes, minute)
        ind.fold_directional(directional, minute, rules.adx_period)
        at = (batch.ts_event - plan.open_ns) // days.MINUTE - 1
        for row, symbol in enumerate(symbols):
            # The naive ones are made anew for each minute, so only some minutes are compared.
            if at not in bars[symbol] or at % 13:
                continue
            vwap = ind.vwap_of(sums, as_array([row]))[0] / m.MICROS
            assert vwap == pytest.approx(float(averages[symbol][at]), rel=RELATIVE)
            band, (adx, atr) = naive.bands(bars[symbol], at, rules), naive.wilder(bars[symbol], at, rules.adx_period)
            assert bool(ind.has_bands(closes, as_array([row]))[0]) is (band is not None)
            assert bool(ind.has_adx(directional, as_array([row]), rules.adx_period)[0]) is (adx is not None)
            if band is not None and adx is not None and atr is not None:
                lower, _, upper = ind.bands_of(closes, as_array([row]), rules.width)
                assert (lower[0] / m.MICROS, upper[0] / m.MICROS) == pytest.approx(band, rel=RELATIVE)
                assert directional.adx[row] == pytest.approx(adx, rel=RELATIVE)
                assert directional.ranges[row] / m.MICROS == pytest.approx(atr, rel=RELATIVE)
                compared += 1
    assert compared > 50
    assert np.isfinite(directional.adx).all()


def test_table_when_the_recorded_days_are_there_then_it_is_what_is_stored() -> None:
    for session in days.RECORDED[:1]:
        assert session.day == "2013-10-07"
        assert TABLE.read_text(encoding="utf-8") == days.table()


def test_page_of_strategies_when_it_shows_the_signals_then_they_are_those_of_the_table() -> None:
    text = TABLE.read_text(encoding="utf-8").split("STRAT_MID_VWAP_THRESHOLD 0.3")[0]
    bought = re.findall(
        r"^(\S+ \S+) (\w+) +(\w+) +(\w+) +buy (\w+), stop (\d+) bps +\S+: (.*?)(?:; \w+: .*)?$", text, re.MULTILINE
    )
    rows = [
        f"| {minute} | {strategy} | {name} | {side}, buy {what}, stop {int(bps) / 100:.2f} % | {numbers} |"
        for minute, strategy, name, side, what, bps, numbers in bought
    ]
    assert {row.split("|")[2].strip() for row in rows} == {"open", "mid", "close"}
    page = (Path(__file__).resolve().parents[3] / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| 2013-10-")] == rows
