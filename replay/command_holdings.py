"""`python -m replay holdings`: years of nights over daily prices, as figures and a page."""

import argparse
from pathlib import Path

from bus.messages import MICROS
from config.holdings import HoldingsSettings, HoldingsSettingsError, percent_text
from replay.faults import ReplayError
from replay.holdings_market import Market, made_market, recorded_market
from replay.holdings_nights import NightResult, daily_gains, play_nights, totals
from replay.output import check_free, new_folder, write_csv, write_json

_YEARS_MAX = 40


def add_holdings(parser: argparse.ArgumentParser) -> None:
    """Add the options of `holdings`."""
    parser.add_argument("--years", type=int, default=10, help="how many years, the newest; default 10")
    parser.add_argument("--data", default="", help="folder of LEAN data with daily bars; default: made prices")
    parser.add_argument("--symbols", default="SPY=50,QQQ=30,IWM=20", help="funds and weights in percent")
    parser.add_argument("--seed", type=int, default=1, help="of the strategies' results and of made prices")
    parser.add_argument("--cash", type=int, default=100_000, help="whole dollars to begin with")
    for name, value in (("float", "10"), ("tax", "20"), ("payroll", "10"), ("band", "0")):
        parser.add_argument(f"--{name}", default=value, help=f"percent; default {value}")
    parser.add_argument("--months", type=int, default=6, help="between rebalances: 3, 6 or 12")
    parser.add_argument("--out", default="", help="folder for nights.csv and report.html; default: print only")
    parser.add_argument("--force", action="store_true", help="replace the results of an earlier run in --out")


def run(options: argparse.Namespace) -> int:
    """Play, print the figures, and leave the folder; return 0.

    Raises:
        ReplayError, CannotStartError: with what is wrong and what to do.
    """
    settings = _settings(options)
    if not 1 <= options.years <= _YEARS_MAX or options.cash < 0:
        raise ReplayError(f"--years goes from 1 to {_YEARS_MAX}, and --cash may not be below zero.")
    out = Path(options.out).expanduser().absolute() if options.out else None
    if out:
        check_free(out, force=options.force)
    market = _market(options, settings)
    gains = daily_gains(options.seed, len(market.days))
    nights = list(play_nights(market, settings, gains, options.cash * MICROS))
    print(market.source)
    for name, value in totals(nights):
        print(f"{name:<34}{value:>18}")
    if out:
        with new_folder(out, force=options.force) as folder:
            write_csv(folder / "nights.csv", _rows(nights))
            write_json(folder / "run.json", {"source": market.source, "seed": options.seed, "settings": settings})
            # The charts' library takes half a second to load, so only what draws loads it.
            from replay.holdings_report import holdings_page

            (folder / "report.html").write_text(holdings_page(market.source, settings, nights), encoding="utf-8")
        print(f"\nResults     {out}")
    return 0


def _settings(options: argparse.Namespace) -> HoldingsSettings:
    etfs = dict(part.strip().partition("=")[::2] for part in options.symbols.split(",") if part.strip())
    part = {
        "is_enabled": True,
        "etfs": {symbol.upper(): percent for symbol, percent in etfs.items()},
        "weights": "custom" if all(etfs.values()) else "equal",
        "float_percent": options.float,
        "tax_percent": options.tax,
        "payroll_percent": options.payroll,
        "band_percent": options.band,
        "rebalance_months": options.months,
    }
    try:
        return HoldingsSettings.from_vault(part)
    except HoldingsSettingsError as error:
        raise ReplayError(str(error)) from error


def _market(options: argparse.Namespace, settings: HoldingsSettings) -> Market:
    symbols = sorted(settings.symbols)
    if not symbols:
        raise ReplayError("Name at least one fund, for example --symbols SPY=60,IWM=40.")
    if options.data:
        return recorded_market(Path(options.data).expanduser().absolute(), symbols, options.years)
    return made_market(symbols, options.years, options.seed)


def _rows(nights: list[NightResult]) -> list[tuple[str, ...]]:
    symbols = [fund.symbol for fund in nights[0].plan.after.funds]
    head = (
        "day",
        "gain",
        "dividend",
        "free_cash",
        "funds",
        "tax_reserve",
        "payroll_reserve",
        "due",
        "carry",
        "rebalance",
    )
    rows: list[tuple[str, ...]] = [(*head, *symbols)]
    for night in nights:
        after = night.plan.after
        held = after.holdings_micros
        # To the nearest hundredth of a percent.
        weights = ((fund.value_micros * 20_000 + held) // (2 * held) if held else 0 for fund in after.funds)
        amounts = (
            night.gain_micros, night.dividend_micros, after.cash_micros, held, night.tax_micros, night.payroll_micros,
            after.reserves.due_micros, after.reserves.carry_micros,
        )  # fmt: skip
        money = (f"{amount / MICROS:.2f}" for amount in amounts)
        rows.append((night.day.isoformat(), *money, "yes" if night.is_rebalance else "", *map(percent_text, weights)))
    return rows
