"""Changes of settings: what differs, what is dangerous in plain words, and two people at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.env_bot import BY_KEY, parse_value, proposals
from config.env_bot_settings import SETTINGS
from config.settings_change import Change, changes, dangers, merge


def change(key: str, old: str | None, new: str | None) -> Change:
    return Change(key=key, old=old, new=new)


def test_changes_when_settings_differ_then_listed_in_the_order_of_the_table() -> None:
    before = proposals() | {"AN_OLD_KEY": "1"}
    after = proposals() | {"LOG_FORMAT": "CSV", "MAX_SPREAD": "1"}
    assert changes(before, after) == (
        change("MAX_SPREAD", "1.5", "1"),
        change("LOG_FORMAT", "JSON", "CSV"),
        change("AN_OLD_KEY", "1", None),
    )
    assert changes(before, before) == ()


@pytest.mark.parametrize(
    ("key", "old", "new", "says"),
    [
        ("ALPACA_ENDPOINT", "paper", "live", "REAL MONEY"),
        ("IBKR_MODE", "paper", "live", "REAL MONEY"),
        ("DAILY_LOSS_LIMIT", "2", "3", "raises a limit from 2 to 3 percent of the day's starting equity"),
        ("MIN_VOLUME_THRESHOLD", "50000", "100", "lowers a limit from 50000 to 100"),
        ("DEFENSE_MODE", "true", "False", "may be opened again"),
        ("RESTRICTED_SYMBOLS", "GME, amc", "AMC", "No longer kept out: GME."),
    ],
)
def test_change_when_it_is_dangerous_then_says_so(key: str, old: str, new: str, says: str) -> None:
    assert any(says in words for words in dangers(change(key, old, new)))


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("ALPACA_ENDPOINT", "live", "paper"),
        ("DAILY_LOSS_LIMIT", "2", "1"),
        ("DAILY_LOSS_LIMIT", "2", "2.0"),
        ("DAILY_LOSS_LIMIT", None, "2"),
        ("DAILY_LOSS_LIMIT", "2", "much"),
        ("MIN_VOLUME_THRESHOLD", "100", "50000"),
        ("RESTRICTED_SYMBOLS", "GME", "AMC,GME"),
        ("LOG_FORMAT", "JSON", "CSV"),
        ("AN_OLD_KEY", "1", None),
    ],
)
def test_change_when_it_is_not_dangerous_then_says_nothing(key: str, old: str | None, new: str | None) -> None:
    assert dangers(change(key, old, new)) == ()


def test_table_when_it_names_dangers_then_each_value_is_allowed_and_each_direction_has_something_to_compare() -> None:
    for setting in SETTINGS:
        for value, words in setting.dangers:
            parse_value(setting, value)
            assert words.endswith(".")
        if setting.riskier in {"up", "down"}:
            assert setting.kind in {"int", "decimal"}, setting.key
        if setting.riskier == "shorter":
            assert setting.kind == "symbols", setting.key


def test_limits_when_listed_then_each_number_of_the_group_has_a_riskier_way() -> None:
    numbers = [one for one in SETTINGS if one.group == "Risk limits" and one.kind in {"int", "decimal"}]
    assert [one.key for one in numbers if not one.riskier] == []


def test_effect_when_the_bus_moves_then_only_with_a_new_start() -> None:
    assert change("BUS_TRANSPORT", "ipc", "tcp").takes_effect == "when all processes are started again"
    assert change("MAX_SPREAD", "1", "1.5").takes_effect == "at the next session start"
    assert change("WEB_SESSION_IDLE", "15", "10").takes_effect == "at once"
    assert change("MAX_SPREAD", "1", "1.5").unit == "percent of the entry price"
    assert change("LOG_FORMAT", "JSON", "CSV").unit == ""


def test_merge_when_two_changed_at_once_then_tells_theirs_mine_and_what_clashes() -> None:
    was = {"MAX_SPREAD": "1.5", "LOG_FORMAT": "JSON", "MAX_QUOTE_AGE": "2", "TRAILING_STOP": "2"}
    current = was | {"MAX_SPREAD": "1", "MAX_QUOTE_AGE": "1"}
    typed = {"MAX_SPREAD": "0.5", "LOG_FORMAT": "CSV", "MAX_QUOTE_AGE": "1", "TRAILING_STOP": "2"}
    found = merge(was, typed, current)
    assert found.theirs == (change("MAX_SPREAD", "1.5", "1"), change("MAX_QUOTE_AGE", "2", "1"))
    assert [(clash.key, clash.was, clash.theirs, clash.mine) for clash in found.clashes] == [
        ("MAX_SPREAD", "1.5", "1", "0.5")
    ]
    assert found.mine == (change("LOG_FORMAT", "JSON", "CSV"),)


_KEYS = sorted(BY_KEY)[:4]
_SOME = st.dictionaries(st.sampled_from(_KEYS), st.sampled_from(["1", "2", "3"]))


@given(was=_SOME, typed=_SOME, current=_SOME)
def test_merge_when_anything_is_typed_then_nothing_is_lost_and_nothing_is_counted_twice(
    was: dict[str, str], typed: dict[str, str], current: dict[str, str]
) -> None:
    found = merge(was, typed, current)
    wanted = {key for key, text in typed.items() if text != was.get(key)}
    kept = {one.key for one in found.mine} | {one.key for one in found.clashes}
    alike = {key for key in wanted if current.get(key) == typed[key] and current.get(key) != was.get(key)}
    assert kept | alike == wanted
    assert not kept & alike
    assert {one.key for one in found.theirs} == {key for key in {*was, *current} if was.get(key) != current.get(key)}
