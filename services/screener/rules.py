"""The screener's rules: each measures one thing of every name and says, for people, whether a name passed."""

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct

from bus.messages import MICROS, NANOS, Reason
from services.screener.columns import UNKNOWN, Bools, Column, Columns
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseRow

UNKNOWN_TEXT: Final = "unknown"
NOT_LISTED_TEXT: Final = "not in the universe"
_MILLI: Final = 1_000
_MOST: Final = 2**63 - 1
_LEAST: Final = -_MOST


class RangeRule(Struct, frozen=True, kw_only=True):
    """Pass names whose value is within `low` and `high`, both included.

    `unknown_passes`: whether a name of which the value is not known passes. `setting` is where the limit comes from.
    """

    rule: str
    setting: str
    column: Column
    threshold: str
    low: int = _LEAST
    high: int = _MOST
    unknown_passes: bool = False

    def passes(self, names: Columns) -> Bools:
        """Return for each name whether it passes."""
        values = names.numbers[self.column]
        if self.rule == "gap":
            # Either way: the size of the move counts, not its direction. The sign is kept for people.
            within = np.abs(np.where(values == UNKNOWN, 0, values)) <= self.high
        else:
            within = (values >= self.low) & (values <= self.high)
        return np.where(values == UNKNOWN, self.unknown_passes, within)

    def reason(self, names: Columns, place: int, *, passed: bool) -> Reason:
        """Say what was measured of one name."""
        value = int(names.numbers[self.column][place])
        text = UNKNOWN_TEXT if value == UNKNOWN else _SAID[self.column](value) + self._addition(names, place)
        return Reason(rule=self.rule, value=text, threshold=self.threshold, passed=passed)

    def _addition(self, names: Columns, place: int) -> str:
        if self.column == "float" and names.is_outstanding[place]:
            return " outstanding"
        return " today" if self.column == "volume" and names.mode != "pre-market" else ""


class MemberRule(Struct, frozen=True, kw_only=True):
    """Pass names whose text is among `words`, or, with `is_block_list`, those whose text is not."""

    rule: str
    setting: str
    text: Callable[[UniverseRow], str]
    words: frozenset[str]
    threshold: str
    is_block_list: bool = False

    def passes(self, names: Columns) -> Bools:
        """Return for each name whether it passes; a name without the text is not among any words."""
        found = ((self.text(row) in self.words) is not self.is_block_list for row in names.rows)
        return np.fromiter(found, dtype=np.bool_, count=len(names.rows))

    def reason(self, names: Columns, place: int, *, passed: bool) -> Reason:
        """Say what one name is."""
        value = self.text(names.rows[place]) or NOT_LISTED_TEXT
        return Reason(rule=self.rule, value=value, threshold=self.threshold, passed=passed)


Rule = RangeRule | MemberRule


def rules_of(settings: ScreenerSettings, names: Columns) -> tuple[Rule, ...]:
    """Return every rule that applies, in the order in which reasons are given: prices first, then the company."""
    return (*_price_rules(settings, names), *_company_rules(settings), *_listing_rules(settings))


def not_applied(settings: ScreenerSettings) -> tuple[str, ...]:
    """Say which rules are not applied, and why: for each one sentence."""
    is_session = settings.universe_source == "session"
    limits = (
        ("exchange", "UNIVERSE_SOURCE is session, which knows no exchanges", is_session),
        ("type", "UNIVERSE_SOURCE is session, which knows no types", is_session),
        ("gap_min", "SCREENER_GAP_MIN is 0", settings.gap_min_bps == 0),
        ("float_max", "SCREENER_FLOAT_MAX is empty", settings.float_max_shares is None),
        ("market_cap_min", "SCREENER_MARKET_CAP_MIN is empty", settings.market_cap_min_dollars is None),
        ("market_cap_max", "SCREENER_MARKET_CAP_MAX is empty", settings.market_cap_max_dollars is None),
        ("pe_max", "SCREENER_PE_MAX is empty", settings.pe_max_milli is None),
        ("debt_to_equity_max", "SCREENER_DEBT_TO_EQUITY_MAX is empty", settings.debt_to_equity_max_milli is None),
        ("block_list", "UNIVERSE_BLOCK_LIST is empty", not settings.block_list),
    )
    return tuple(f"{rule} is not applied: {why}" for rule, why, is_off in limits if is_off)


def dollars(micros: int) -> str:
    """Write a price for people, exactly, with at least two decimals: $48.84, $0.0105."""
    whole, rest = divmod(micros, MICROS)
    return f"${whole:,}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def percent(bps: int, *, signed: bool = False) -> str:
    """Write basis points as percent: 1500 is 15.00 %."""
    whole, rest = divmod(abs(bps), 100)
    sign = "-" if bps < 0 else "+" if signed else ""
    return f"{sign}{whole}.{rest:02d} %"


def ratio(milli: int) -> str:
    """Write thousandths as a ratio with two decimals or, where they are needed, three: 37.00, 0.7955 is 0.796."""
    whole, rest = divmod(abs(milli), _MILLI)
    sign = "-" if milli < 0 else ""
    return f"{sign}{whole:,}.{f'{rest:03d}'.removesuffix('0').ljust(2, '0')}"


_SAID: Final[dict[Column, Callable[[int], str]]] = {
    "price": dollars,
    "gap": lambda bps: percent(bps, signed=True),
    "gap_at_least": percent,
    "volume": lambda nanos: f"{nanos // NANOS:,} shares",
    "float": lambda shares: f"{shares:,} shares",
    "market_cap": lambda whole: f"${whole:,}",
    "pe": ratio,
    "debt_to_equity": ratio,
}


def _price_rules(settings: ScreenerSettings, names: Columns) -> list[Rule]:
    rules: list[Rule] = [
        # SCREENER_PRICE_MIN: a name without a price is not known to be dear enough, so it fails.
        RangeRule(
            rule="price_min",
            setting="SCREENER_PRICE_MIN",
            column="price",
            threshold=f">= {dollars(settings.price_min_micros)}",
            low=settings.price_min_micros,
        ),
        # SCREENER_PRICE_MAX: the same for the upper end.
        RangeRule(
            rule="price_max",
            setting="SCREENER_PRICE_MAX",
            column="price",
            threshold=f"<= {dollars(settings.price_max_micros)}",
            high=settings.price_max_micros,
        ),
        # SCREENER_GAP_MAX has no "where known": a gap nobody can measure fails.
        RangeRule(
            rule="gap",
            setting="SCREENER_GAP_MAX",
            column="gap",
            threshold=f"<= {percent(settings.gap_max_bps)} either way",
            high=settings.gap_max_bps,
        ),
    ]
    if settings.gap_min_bps:
        # SCREENER_GAP_MIN 0: names that did not move are watched too.
        rules.append(
            RangeRule(
                rule="gap_min",
                setting="SCREENER_GAP_MIN",
                column="gap_at_least",
                threshold=f">= {percent(settings.gap_min_bps)} either way",
                low=settings.gap_min_bps,
            )
        )
    rules.append(
        # SCREENER_VOLUME_MIN applies to the day before "where known"; of the day itself, not to know is not to have.
        RangeRule(
            rule="volume",
            setting="SCREENER_VOLUME_MIN",
            column="volume",
            threshold=f">= {settings.volume_min_nanos // NANOS:,} shares",
            low=settings.volume_min_nanos,
            unknown_passes=names.mode == "pre-market",
        )
    )
    return rules


def _company_rules(settings: ScreenerSettings) -> list[Rule]:
    """Return the limits on the company. Each but SCREENER_FLOAT_MIN is left out where its setting is empty."""
    # SCREENER_FLOAT_*: "where known", an unknown float passes. Every other limit is asked for by the operator, so a
    # name that cannot be shown to keep it fails.
    limits: tuple[tuple[str, Column, int | None, bool], ...] = (
        ("float", "float", settings.float_min_shares, True),
        ("float_max", "float", settings.float_max_shares, True),
        ("market_cap_min", "market_cap", settings.market_cap_min_dollars, False),
        ("market_cap_max", "market_cap", settings.market_cap_max_dollars, False),
        ("pe_max", "pe", settings.pe_max_milli, False),
        ("debt_to_equity_max", "debt_to_equity", settings.debt_to_equity_max_milli, False),
    )
    return [
        _limit(rule, column, limit, unknown_passes=passes)
        for rule, column, limit, passes in limits
        if limit is not None
    ]


def _limit(rule: str, column: Column, limit: int, *, unknown_passes: bool) -> RangeRule:
    setting = f"SCREENER_{'FLOAT_MIN' if rule == 'float' else rule.upper()}"
    said = _SAID[column](limit)
    if not rule.endswith("_max"):
        return RangeRule(
            rule=rule, setting=setting, column=column, threshold=f">= {said}", low=limit, unknown_passes=unknown_passes
        )
    # A loss has no price to earnings, and equity below zero no debt to equity: a negative ratio is not a low one.
    low = {"pe": 1, "debt_to_equity": 0}.get(column, _LEAST)
    sign = {"pe": "above 0 and ", "debt_to_equity": ">= 0 and "}.get(column, "")
    return RangeRule(
        rule=rule,
        setting=setting,
        column=column,
        threshold=f"{sign}<= {said}",
        low=low,
        high=limit,
        unknown_passes=unknown_passes,
    )


def _listing_rules(settings: ScreenerSettings) -> list[Rule]:
    rules: list[Rule] = []
    if settings.universe_source == "finnhub":
        # UNIVERSE_SOURCE session: nobody knows the exchanges of recorded or generated names. finnhub: every listed name
        # has its exchange and type, so a name without them is not in the universe.
        rules += [
            MemberRule(
                rule="exchange",
                setting="UNIVERSE_MICS",
                text=lambda row: row.mic,
                words=frozenset(settings.mics),
                threshold=f"one of {', '.join(settings.mics)}",
            ),
            MemberRule(
                rule="type",
                setting="UNIVERSE_TYPES",
                text=lambda row: row.security_type,
                words=frozenset(settings.security_types),
                threshold=f"one of {', '.join(settings.security_types)}",
            ),
        ]
    if settings.block_list:
        rules.append(
            MemberRule(
                rule="block_list",
                setting="UNIVERSE_BLOCK_LIST",
                text=lambda row: row.symbol,
                words=frozenset(settings.block_list),
                threshold="not in UNIVERSE_BLOCK_LIST",
                is_block_list=True,
            )
        )
    return rules
