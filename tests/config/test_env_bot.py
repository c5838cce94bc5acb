"""Settings: every fault at once, in words; nothing missing is filled in silently."""

from decimal import Decimal

import pytest

from config.env_bot import BY_KEY, PendingUpgradeError, SettingsError, parse, proposals, upgrade_of
from config.env_bot_settings import SETTINGS, Setting

_SPECIFIED = [
    "START_TIME_OPEN",
    "START_TIME_MID",
    "START_TIME_CLOSE",
    "OPEN_ANALYSIS_TIME",
    "MID_ANALYSIS_TIME",
    "CLOSE_ANALYSIS_TIME",
    "OPEN_MONITORING_TIME",
    "MID_MONITORING_TIME",
    "CLOSE_MONITORING_TIME",
    "STRAT_OPEN_ENABLED",
    "STRAT_MID_ENABLED",
    "STRAT_CLOSE_ENABLED",
    "SHORT_TYPE_OPEN",
    "SHORT_TYPE_MID",
    "SHORT_TYPE_CLOSE",
    "TOTAL_ALLOCATION",
    "MAX_RISK_PER_TRADE",
    "MAX_OPEN_POSITIONS",
    "DAILY_LOSS_LIMIT",
    "MIN_VOLUME_THRESHOLD",
    "TRADING_DAYS",
    "LOG_FORMAT",
    "BROKER_NAME",
    "ALPACA_ENABLED",
    "IBKR_ENABLED",
    "START_TIME_DST",
]


def test_the_settings_have_every_key_of_the_specification_once() -> None:
    assert set(_SPECIFIED) <= set(BY_KEY)
    assert len(BY_KEY) == len(SETTINGS)


def test_the_proposals_are_valid_and_typed() -> None:
    env = parse(proposals())
    assert env.flag("STRAT_OPEN_ENABLED") is True
    assert env.whole("MAX_OPEN_POSITIONS") == 8
    assert env.number("MAX_RISK_PER_TRADE") == Decimal("0.25")
    assert env.scaled("MAX_RISK_PER_TRADE", 100) == 25
    assert env.words("TRADING_DAYS") == ("Mon", "Tue", "Wed", "Thu", "Fri")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_setting_explains_itself(setting: Setting) -> None:
    assert len(setting.description) > 15
    assert setting.unit or setting.kind == "int"


@pytest.mark.parametrize("key", sorted(BY_KEY))
def test_a_key_when_missing_is_a_fault_that_names_it(key: str) -> None:
    raw = proposals()
    del raw[key]
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"{key} is missing")


def test_faults_when_there_are_many_are_all_listed() -> None:
    raw = proposals() | {"MAX_OPEN_POSITIONS": "many", "START_TIME_OPEN": "25:00", "NO_SUCH_KEY": "1"}
    raw |= {"SCREENER_PRICE_MIN": "500", "SCREENER_PRICE_MAX": "20", "MARKET_DATA_DATE": "2025-02-30"}
    del raw["DAILY_LOSS_LIMIT"]
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert sorted(fault.split()[0] for fault in caught.value.faults) == [
        "DAILY_LOSS_LIMIT",
        "MARKET_DATA_DATE",
        "MAX_OPEN_POSITIONS",
        "NO_SUCH_KEY",
        "SCREENER_PRICE_MIN",
        "START_TIME_OPEN",
    ]


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("MAX_OPEN_POSITIONS", "0", "from 1 to 50"),
        ("MAX_OPEN_POSITIONS", "2.5", "whole number"),
        ("TOTAL_ALLOCATION", "NaN", "from 0.1 to 100"),
        ("TOTAL_ALLOCATION", "Infinity", "from 0.1 to 100"),
        ("TOTAL_ALLOCATION", "", "is empty"),
        ("MAX_SPREAD", "1.6", "from 0.01 to 1.5"),
        ("STRAT_OPEN_ENABLED", "yes", "true or false"),
        ("LOG_FORMAT", "XML", "JSON, CSV"),
        ("START_TIME_MID", "9:30", "such as 14:30"),
        ("TRADING_DAYS", "Mon,Funday", "Funday"),
        ("TRADING_DAYS", "Mon,Mon", "twice"),
        ("MARKET_DATA_SYMBOLS", "SPY,../x", "symbols such as"),
        ("MARKET_DATA_DATE", "8 October", "such as 2013-10-08"),
        ("MARKET_DATA_DIR", "a\nb", "one line"),
        ("BROKER_NAME", "ROBINHOOD", "one of PAPER"),
        ("STRATEGY_SEQUENCE", "open,middle", "'middle': it must be names out of open,mid,close"),
        ("STRATEGY_SEQUENCE", "open,open", "twice"),
        ("STRATEGY_OVERRIDE", "all", "one of open, mid, close, or empty"),
    ],
)
def test_a_value_when_malformed_is_a_fault_in_plain_words(key: str, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        parse(proposals() | {key: text})


def test_settings_when_they_contradict_each_other_are_faults() -> None:
    for change, says in (
        ({"MARKET_DATA_SOURCE": "recorded"}, "MARKET_DATA_DIR is empty"),
        ({"SCREENER_PRICE_MIN": "500", "SCREENER_PRICE_MAX": "20"}, "no name could pass"),
        ({"SCREENER_FLOAT_MIN": "500", "SCREENER_FLOAT_MAX": "20"}, "SCREENER_FLOAT_MIN is above SCREENER_FLOAT_MAX"),
        ({"SCREENER_GAP_MIN": "15.01"}, "SCREENER_GAP_MIN is above SCREENER_GAP_MAX"),
        ({"SCREENER_SCAN_MODE": "intraday"}, "a generated session is ranked before its open"),
        ({"UNIVERSE_TYPES": " , "}, "names no type"),
        ({"ALPACA_ENABLED": "true"}, "ALPACA_ENABLED must be false while BROKER_NAME is PAPER: one broker per bot"),
        ({"BROKER_NAME": "ALPACA"}, "ALPACA_ENABLED must be true while BROKER_NAME is ALPACA"),
        ({"IBKR_ENABLED": "true"}, "IBKR_ENABLED must be false"),
        ({"BROKER_NAME": "IBKR"}, "IBKR_ENABLED must be true while BROKER_NAME is IBKR"),
        (
            {"BROKER_NAME": "IBKR", "IBKR_ENABLED": "true", "IBKR_MODE": "live"},
            "IBKR_MODE is live, but MARKET_DATA_SOURCE is generated",
        ),
        (
            {"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true", "ALPACA_ENDPOINT": "live"},
            "real money would be traded on prices that are not the market's",
        ),
        ({"STRATEGY_SEQUENCE": "open,mid"}, "STRATEGY_SEQUENCE does not name close"),
        ({"STRATEGY_OVERRIDE": "mid", "STRAT_MID_ENABLED": "false"}, "so nothing would run"),
        ({"SHORT_TYPE_MID": "LongPut"}, "MARKET_DATA_SOURCE is generated, which has no options"),
        ({"PUT_EXPIRY_MIN_DAYS": "46"}, "no put could pass"),
        ({"START_TIME_MID": "14:29"}, "START_TIME_MID is 14:29, before the exchange opens at 14:30 UTC"),
        (
            {"START_TIME_CLOSE": "19:56"},
            r"START_TIME_CLOSE \+ CLOSE_ANALYSIS_TIME \+ CLOSE_SIGNAL_TIME end at 20:56 UTC",
        ),
        ({"MID_SIGNAL_TIME": "300"}, "end at 21:00 UTC, after all positions are sold at 20:55"),
        ({"MAX_RISK_PER_TRADE": "3", "DAILY_LOSS_LIMIT": "2.9999"}, "one stopped trade would halt the chain"),
        ({"MAX_ORDERS_PER_SECOND": "61"}, "MAX_ORDERS_PER_SECOND is above MAX_ORDERS_PER_MINUTE"),
        ({"START_TIME_OPEN": "14:00"}, "before the exchange opens at 14:30 UTC"),
        ({"START_TIME_OPEN": "13:00", "START_TIME_DST": "fixed"}, "before the exchange opens at 13:30 UTC"),
        ({"OPEN_BREAKOUT_TIME": "371"}, "end at 20:56 UTC, after all positions are sold at 20:55"),
    ):
        with pytest.raises(SettingsError, match=says):
            parse(proposals() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"START_TIME_OPEN": "13:30", "START_TIME_DST": "fixed"},
        {"OPEN_BREAKOUT_TIME": "370"},
        {"START_TIME_OPEN": "09:00", "STRAT_OPEN_ENABLED": "false"},
        {"START_TIME_MID": "09:00", "STRAT_MID_ENABLED": "false", "STRATEGY_SEQUENCE": "close,open"},
        {"STRATEGY_OVERRIDE": "close", "STRATEGY_SEQUENCE": "close,mid,open"},
        {"START_TIME_CLOSE": "19:55"},
        {"MAX_RISK_PER_TRADE": "2", "DAILY_LOSS_LIMIT": "2"},
        {"MAX_ORDERS_PER_SECOND": "60"},
        {"FRACTIONAL_SHARES": "true"},
        {"OPEN_BREAKOUT_BUFFER": "0.1234", "TRAILING_STOP": "1.25"},
    ],
)
def test_settings_when_they_just_fit_are_accepted(change: dict[str, str]) -> None:
    parse(proposals() | change)


@pytest.mark.parametrize(("key", "text"), [("OPEN_BREAKOUT_BUFFER", "0.12345"), ("TRAILING_STOP", "1.255")])
def test_a_value_when_finer_than_it_can_be_kept_is_a_fault(key: str, text: str) -> None:
    with pytest.raises(SettingsError, match="finer steps would be lost"):
        parse(proposals() | {key: text})


def test_an_optional_number_when_left_empty_is_no_limit() -> None:
    key = "SCREENER_MARKET_CAP_MAX"
    assert parse(proposals() | {key: ""}).scaled_or_none(key, 1_000_000) is None
    assert parse(proposals() | {key: "2.5"}).scaled_or_none(key, 1_000_000) == 2_500_000
    assert parse(proposals() | {"SCREENER_MARKET_CAP_MIN": "5", key: ""}).scaled_or_none(key, 1) is None
    with pytest.raises(SettingsError, match=key):
        parse(proposals() | {key: "much"})
    with pytest.raises(TypeError):
        parse(proposals()).scaled_or_none("MARKET_DATA_SOURCE", 1)


def test_settings_when_another_version_wrote_them_then_say_what_is_to_be_confirmed() -> None:
    stored = {key: text for key, text in proposals().items() if key not in {"MAX_SPREAD", "LOG_FORMAT"}}
    stored["SETTING_OF_OLD"] = "7"
    with pytest.raises(PendingUpgradeError, match="nothing else has to be entered again") as caught:
        parse(stored)
    assert [fault.split()[0] for fault in caught.value.faults] == ["MAX_SPREAD", "LOG_FORMAT", "SETTING_OF_OLD"]
    upgrade = upgrade_of(stored)
    assert [setting.key for setting in upgrade.added] == ["MAX_SPREAD", "LOG_FORMAT"]
    assert upgrade.removed == ("SETTING_OF_OLD",)
    assert upgrade
    assert not upgrade_of(proposals())


def test_settings_when_another_version_wrote_them_and_one_is_wrong_then_that_is_a_fault_and_no_upgrade() -> None:
    stored = {key: text for key, text in proposals().items() if key != "LOG_FORMAT"} | {"MAX_SPREAD": "9"}
    with pytest.raises(SettingsError, match="MAX_SPREAD is 9") as caught:
        parse(stored)
    assert not isinstance(caught.value, PendingUpgradeError)
