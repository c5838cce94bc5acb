"""Rules between settings: each value may be allowed alone and yet the set makes no sense. Pure; part of the parser."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Final

Value = bool | int | Decimal | str | tuple[str, ...]

#: The exchange's regular day in minutes after midnight UTC: 14:30 to 21:00 in winter, an hour earlier in summer.
#: Source: NYSE "Holidays & Trading Hours", 2026: the core session is 9:30 to 16:00 in New York.
_OPEN_MINUTE_WINTER: Final = 14 * 60 + 30
_CLOSE_MINUTE_WINTER: Final = 21 * 60
_SUMMER_SHIFT_MINUTES: Final = 60
_SCREENER_RANGES: Final = (
    ("SCREENER_GAP_MIN", "SCREENER_GAP_MAX"),
    ("SCREENER_FLOAT_MIN", "SCREENER_FLOAT_MAX"),
    ("SCREENER_MARKET_CAP_MIN", "SCREENER_MARKET_CAP_MAX"),
)
#: BROKER_NAME -> the switch of that broker; the embedded one has none.
_BROKER_SWITCHES: Final = {"ALPACA": "ALPACA_ENABLED", "IBKR": "IBKR_ENABLED"}
_ADDRESS: Final = re.compile(r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+")
#: Sources whose prices are not those at which a broker trades now.
_NOT_THE_MARKET: Final = frozenset({"generated", "recorded"})
#: Sources that come as they happen.
LIVE_SOURCES: Final = ("alpaca", "ibkr")
#: What says which account orders go to, and whether it has money in it.
_MONEY_KEYS: Final = ("BROKER_NAME", "ALPACA_ENDPOINT", "IBKR_MODE")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
#: Each strategy's times, in the order in which they follow each other from its start.
_STRATEGY_TIMES: Final = {
    "OPEN": ("OPEN_ANALYSIS_TIME", "OPEN_BREAKOUT_TIME"),
    "MID": ("MID_ANALYSIS_TIME", "MID_SIGNAL_TIME"),
    "CLOSE": ("CLOSE_ANALYSIS_TIME", "CLOSE_SIGNAL_TIME"),
}
_SHORT_TYPES: Final = tuple(f"SHORT_TYPE_{name}" for name in _STRATEGY_TIMES)


def contradictions(values: Mapping[str, Value]) -> tuple[str, ...]:
    """Return one sentence for each rule that the settings break together.

    Args:
        values: the typed settings; a rule is left out while one of its keys is itself at fault and so missing.
    """
    return tuple(fault for keys, rule in _RULES if all(key in values for key in keys) for fault in rule(values))


def _sequence_faults(values: Mapping[str, Value]) -> list[str]:
    sequence, override = values["STRATEGY_SEQUENCE"], str(values["STRATEGY_OVERRIDE"])
    names = sequence if isinstance(sequence, tuple) else ()
    enabled = [name.lower() for name in _STRATEGY_TIMES if values[f"STRAT_{name}_ENABLED"]]
    faults = [
        f"STRATEGY_SEQUENCE does not name {name}, but STRAT_{name.upper()}_ENABLED is true: name it there, or set that "
        "to false"
        for name in enabled
        if name not in names
    ]
    if override and override not in enabled:
        faults.append(
            f"STRATEGY_OVERRIDE is {override}, but STRAT_{override.upper()}_ENABLED is false, so nothing would run: "
            "enable it or leave STRATEGY_OVERRIDE empty"
        )
    return faults


def _short_type_faults(values: Mapping[str, Value]) -> list[str]:
    why = _why_no_puts(values)
    return [f"SHORT_TYPE_{name} is LongPut, but {why}" for name in _putting(values)] if why else []


def _putting(values: Mapping[str, Value]) -> list[str]:
    return [name for name in _STRATEGY_TIMES if values[f"SHORT_TYPE_{name}"] == "LongPut"]


def _why_no_puts(values: Mapping[str, Value]) -> str:
    """Return why no put can be bought with this source, and what to do; empty when one can."""
    source = values["MARKET_DATA_SOURCE"]
    if source == "generated":
        return (
            "MARKET_DATA_SOURCE is generated, which has no options: set it to InverseETF or disabled, or "
            "MARKET_DATA_SOURCE to recorded, alpaca or ibkr"
        )
    is_money = values["ALPACA_ENDPOINT"] == "live" if values["BROKER_NAME"] == "ALPACA" else _is_ibkr_money(values)
    if source == "alpaca" and is_money and values["ALPACA_OPTIONS_FEED"] != "opra":
        return (
            "ALPACA_OPTIONS_FEED is indicative, whose quotes are no market, and orders are for real money: set it to "
            "opra with a plan that has it, or SHORT_TYPE_* to InverseETF or disabled"
        )
    return ""


def _put_faults(values: Mapping[str, Value]) -> list[str]:
    if _whole(values, "PUT_EXPIRY_MIN_DAYS") > _whole(values, "PUT_EXPIRY_MAX_DAYS"):
        return ["PUT_EXPIRY_MIN_DAYS is above PUT_EXPIRY_MAX_DAYS: no put could pass"]
    return []


def _window_faults(name: str, values: Mapping[str, Value]) -> list[str]:
    """Return how a strategy's windows do not fit a regular day; half-days are judged on the day itself."""
    if not values[f"STRAT_{name}_ENABLED"]:
        # STRAT_*_ENABLED is false: its times are not used, so they cannot be wrong.
        return []
    faults = []
    key, lengths = f"START_TIME_{name}", _STRATEGY_TIMES[name]
    start = _minute(str(values[key]))
    # START_TIME_DST=fixed: the same UTC time is an hour later on New York's clock in summer, so the earliest time
    # that can be right is the summer open. START_TIME_DST=exchange: start times are as in winter.
    is_fixed = values["START_TIME_DST"] == "fixed"
    earliest = _OPEN_MINUTE_WINTER - (_SUMMER_SHIFT_MINUTES if is_fixed else 0)
    if start < earliest:
        faults.append(
            f"{key} is {hhmm(start)}, before the exchange opens at {hhmm(earliest)} UTC: "
            f"set it to {hhmm(earliest)} or later"
        )
    flatten = _CLOSE_MINUTE_WINTER - _whole(values, "FLATTEN_BEFORE_CLOSE")
    end = start + sum(_whole(values, length) for length in lengths)
    if end > flatten:
        faults.append(
            f"{key} + {' + '.join(lengths)} end at {hhmm(end)} UTC, after all positions "
            f"are sold at {hhmm(flatten)}: make one of the windows shorter"
        )
    return faults


def _limit_faults(values: Mapping[str, Value]) -> list[str]:
    if Decimal(str(values["MAX_RISK_PER_TRADE"])) > Decimal(str(values["DAILY_LOSS_LIMIT"])):
        return [
            "MAX_RISK_PER_TRADE is above DAILY_LOSS_LIMIT, so one stopped trade would halt the chain: lower the one "
            "or raise the other"
        ]
    return []


def _pace_faults(values: Mapping[str, Value]) -> list[str]:
    if _whole(values, "MAX_ORDERS_PER_SECOND") > _whole(values, "MAX_ORDERS_PER_MINUTE"):
        return ["MAX_ORDERS_PER_SECOND is above MAX_ORDERS_PER_MINUTE, so it would never bind: lower it"]
    return []


def _broker_faults(values: Mapping[str, Value]) -> list[str]:
    """Return the brokers whose switch contradicts the name: exactly the one that is named is switched on."""
    named = values["BROKER_NAME"]
    return [
        f"{key} must be {'true' if name == named else 'false'} while BROKER_NAME is {named}: one broker per bot"
        for name, key in _BROKER_SWITCHES.items()
        if bool(values[key]) is not (name == named)
    ]


def _real_money_faults(values: Mapping[str, Value]) -> list[str]:
    source = values["MARKET_DATA_SOURCE"]
    if values["BROKER_NAME"] == "ALPACA" and values["ALPACA_ENDPOINT"] == "live" and source in _NOT_THE_MARKET:
        return [
            f"ALPACA_ENDPOINT is live, but MARKET_DATA_SOURCE is {source}: real money would be traded on prices that "
            "are not the market's. Set ALPACA_ENDPOINT to paper, or take live prices"
        ]
    return []


def _is_ibkr_money(values: Mapping[str, Value]) -> bool:
    return values["BROKER_NAME"] == "IBKR" and values["IBKR_MODE"] == "live"


def _ibkr_money_faults(values: Mapping[str, Value]) -> list[str]:
    source = values["MARKET_DATA_SOURCE"]
    if not _is_ibkr_money(values):
        return []
    if source in _NOT_THE_MARKET:
        return [
            f"IBKR_MODE is live, but MARKET_DATA_SOURCE is {source}: real money would be traded on prices that are not "
            "the market's. Set IBKR_MODE to paper, or take live prices"
        ]
    if source == "alpaca" and values["ALPACA_ENDPOINT"] == "simulator":
        return [
            "IBKR_MODE is live, but ALPACA_ENDPOINT is simulator, so MARKET_DATA_SOURCE alpaca is no real market: set "
            "ALPACA_ENDPOINT to paper"
        ]
    return []


def _source_faults(values: Mapping[str, Value]) -> list[str]:
    if values["MARKET_DATA_SOURCE"] == "recorded" and not values["MARKET_DATA_DIR"]:
        return ["MARKET_DATA_DIR is empty: the recorded source needs the folder of its minute bars"]
    return _live_faults(values) if values["MARKET_DATA_SOURCE"] in LIVE_SOURCES else []


def _live_faults(values: Mapping[str, Value]) -> list[str]:
    faults = []
    if values["MARKET_DATA_SOURCE"] == "alpaca" and values["ALPACA_DATA_FEED"] == "delayed_sip":
        faults.append(
            "ALPACA_DATA_FEED is delayed_sip, whose prices are 15 minutes old: live market data needs iex, or sip with "
            "a plan that has it"
        )
    if values["UNIVERSE_SOURCE"] == "session" and not values["MARKET_DATA_SYMBOLS"]:
        faults.append(
            "MARKET_DATA_SYMBOLS is empty: live data has no names of its own. Name some, or set UNIVERSE_SOURCE to "
            "finnhub"
        )
    return faults


def _ibkr_data_faults(values: Mapping[str, Value]) -> list[str]:
    """Return what does not fit together of the data that Interactive Brokers gives."""
    if values["MARKET_DATA_SOURCE"] != "ibkr":
        return []
    faults = []
    if values["IBKR_DATA_CLIENT_ID"] == values["IBKR_CLIENT_ID"]:
        faults.append(
            "IBKR_DATA_CLIENT_ID and IBKR_CLIENT_ID are the same number, and the gateway takes a number once: set "
            "IBKR_DATA_CLIENT_ID to another one"
        )
    needed = 2 * _whole(values, "IBKR_STREAM_SYMBOLS_MAX")
    if _putting(values):
        needed += _whole(values, "LIVE_PUT_NAMES_MAX") * _whole(values, "LIVE_PUTS_PER_NAME")
    if needed > _whole(values, "IBKR_LINES_MAX"):
        faults.append(
            f"IBKR_LINES_MAX is {values['IBKR_LINES_MAX']}, but {needed} market data lines are needed, two for each of "
            "IBKR_STREAM_SYMBOLS_MAX names and one for each put: lower IBKR_STREAM_SYMBOLS_MAX, LIVE_PUT_NAMES_MAX or "
            "LIVE_PUTS_PER_NAME"
        )
    is_money = _is_ibkr_money(values) or (values["BROKER_NAME"] == "ALPACA" and values["ALPACA_ENDPOINT"] == "live")
    if values["IBKR_DELAYED_DATA"] and is_money:
        faults.append(
            "IBKR_DELAYED_DATA is true and orders are for real money: they would be sent on prices that are 15 minutes "
            "old. Set it to false"
        )
    return faults


def _price_faults(values: Mapping[str, Value]) -> list[str]:
    if Decimal(str(values["SCREENER_PRICE_MIN"])) > Decimal(str(values["SCREENER_PRICE_MAX"])):
        return ["SCREENER_PRICE_MIN is above SCREENER_PRICE_MAX: no name could pass"]
    return []


def _range_faults(values: Mapping[str, Value]) -> list[str]:
    """Return the screener's ranges that nothing is within; an end that is left empty is no limit."""
    return [
        f"{low} is above {high}: no name could pass"
        for low, high in _SCREENER_RANGES
        if values[high] != "" and values[low] != "" and Decimal(str(values[low])) > Decimal(str(values[high]))
    ]


def _scan_mode_faults(values: Mapping[str, Value]) -> list[str]:
    if values["SCREENER_SCAN_MODE"] in {"intraday", "after-hours"}:
        # Both sources of this version are played from the start: what trades later in the day is not known yet.
        return [
            f"SCREENER_SCAN_MODE is {values['SCREENER_SCAN_MODE']}, but a {values['MARKET_DATA_SOURCE']} session is "
            "ranked before its open: set it to auto or pre-market"
        ]
    return []


def _universe_faults(values: Mapping[str, Value]) -> list[str]:
    types = [word for word in str(values["UNIVERSE_TYPES"]).split(",") if word.strip()]
    return [] if types else ["UNIVERSE_TYPES names no type: write at least one, such as Common Stock"]


def _mail_faults(values: Mapping[str, Value]) -> list[str]:
    # SMTP_HOST empty: no mail is sent, and nothing else of it matters.
    if not values["SMTP_HOST"]:
        return []
    faults = []
    for key in ("SMTP_FROM", "SMTP_TO"):
        addresses = [part.strip() for part in str(values[key]).split(",")]
        if not all(_ADDRESS.fullmatch(address) for address in addresses) or (key == "SMTP_FROM" and addresses[1:]):
            allowed = "one mail address" if key == "SMTP_FROM" else "mail addresses, separated by commas"
            faults.append(f"{key} is '{values[key]}': SMTP_HOST is set, so it must be {allowed}")
    if values["SMTP_SECURITY"] == "NONE" and values["SMTP_HOST"] not in ("127.0.0.1", "localhost", "::1"):
        faults.append("SMTP_SECURITY is NONE: mail to a server on another machine must be encrypted")
    return faults


def _whole(values: Mapping[str, Value], key: str) -> int:
    return int(Decimal(str(values[key])))


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def hhmm(minute: int) -> str:
    """Write a minute of the UTC day as HH:MM; minutes past midnight wrap to the next day.

    >>> hhmm(14 * 60 + 30)
    '14:30'
    """
    return f"{minute // 60 % 24:02d}:{minute % 60:02d}"


def _second_host_faults(values: Mapping[str, Value]) -> list[str]:
    second, first = str(values["BUS_TCP_SECOND_HOST"]), str(values["BUS_TCP_HOST"])
    if not second:
        return []
    if values["BUS_TRANSPORT"] != "tcp":
        return ["BUS_TCP_SECOND_HOST is set, but BUS_TRANSPORT is ipc, which stays on one machine: set it to tcp"]
    if first in _LOOPBACK and second not in _LOOPBACK:
        return [
            f"BUS_TCP_HOST is {first}, which {second} (BUS_TCP_SECOND_HOST) does not reach: set it to this machine's "
            "address on the network that both share"
        ]
    return []


#: Which settings a rule reads, and the rule.
_RULES: Final[tuple[tuple[tuple[str, ...], Callable[[Mapping[str, Value]], list[str]]], ...]] = (
    (
        ("STRATEGY_SEQUENCE", "STRATEGY_OVERRIDE", *(f"STRAT_{name}_ENABLED" for name in _STRATEGY_TIMES)),
        _sequence_faults,
    ),
    *(
        (
            (f"STRAT_{name}_ENABLED", f"START_TIME_{name}", "START_TIME_DST", *lengths, "FLATTEN_BEFORE_CLOSE"),
            partial(_window_faults, name),
        )
        for name, lengths in _STRATEGY_TIMES.items()
    ),
    (
        ("MARKET_DATA_SOURCE", *_MONEY_KEYS, "ALPACA_OPTIONS_FEED", *_SHORT_TYPES),
        _short_type_faults,
    ),
    (
        (
            "MARKET_DATA_SOURCE",
            *_MONEY_KEYS,
            *_SHORT_TYPES,
            "IBKR_CLIENT_ID",
            "IBKR_DATA_CLIENT_ID",
            "IBKR_STREAM_SYMBOLS_MAX",
            "IBKR_LINES_MAX",
            "IBKR_DELAYED_DATA",
            "LIVE_PUT_NAMES_MAX",
            "LIVE_PUTS_PER_NAME",
        ),
        _ibkr_data_faults,
    ),
    (("BUS_TRANSPORT", "BUS_TCP_HOST", "BUS_TCP_SECOND_HOST"), _second_host_faults),
    (("PUT_EXPIRY_MIN_DAYS", "PUT_EXPIRY_MAX_DAYS"), _put_faults),
    (("MAX_RISK_PER_TRADE", "DAILY_LOSS_LIMIT"), _limit_faults),
    (("MAX_ORDERS_PER_SECOND", "MAX_ORDERS_PER_MINUTE"), _pace_faults),
    (("BROKER_NAME", *_BROKER_SWITCHES.values()), _broker_faults),
    (("BROKER_NAME", "ALPACA_ENDPOINT", "MARKET_DATA_SOURCE"), _real_money_faults),
    (("BROKER_NAME", "IBKR_MODE", "MARKET_DATA_SOURCE", "ALPACA_ENDPOINT"), _ibkr_money_faults),
    (
        ("MARKET_DATA_SOURCE", "MARKET_DATA_DIR", "ALPACA_DATA_FEED", "UNIVERSE_SOURCE", "MARKET_DATA_SYMBOLS"),
        _source_faults,
    ),
    (("SCREENER_PRICE_MIN", "SCREENER_PRICE_MAX"), _price_faults),
    (tuple(key for pair in _SCREENER_RANGES for key in pair), _range_faults),
    (("SCREENER_SCAN_MODE", "MARKET_DATA_SOURCE"), _scan_mode_faults),
    (("UNIVERSE_TYPES",), _universe_faults),
    (("SMTP_HOST", "SMTP_FROM", "SMTP_TO", "SMTP_SECURITY"), _mail_faults),
)
