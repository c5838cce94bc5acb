"""The plug-in of docs/strategies.md as it stands there, and what the core does with a plug-in that breaks its rules."""

import re
from pathlib import Path
from typing import Any

import pytest

from bus import messages as m
from services.strategy import strategy_router as router
from services.strategy.mid import MidStrategy
from services.strategy.open import OpenStrategy
from services.strategy.strategy import Note, Silence, Strategy

PAGE = Path(__file__).resolve().parents[3] / "docs/strategies.md"


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_example_when_taken_from_the_page_then_it_passes_its_own_playbook(new_day: Any) -> None:
    plugin, playbook = examples()
    names: dict[str, Any] = {}
    exec(plugin + playbook, names)
    names["test_three_rises_when_a_name_rises_in_a_row_then_bought_once"](new_day)


def test_example_when_counted_then_its_class_is_about_forty_lines() -> None:
    plugin, _ = examples()
    lines = [line for line in plugin[plugin.index("class ThreeRises") :].splitlines() if line.strip()]
    assert len(lines) <= 40


def test_page_when_a_strategy_has_a_setting_then_it_is_named(make: Any) -> None:
    text = PAGE.read_text(encoding="utf-8")
    keys = [
        key for key in make.settings().values if re.match(r"STRAT_(MID|CLOSE)_(?!ENABLED)|STRATEGY_|MAX_INVERSE", key)
    ]
    assert len(keys) > 8
    assert [key for key in keys if key not in text] == []
    assert all(f"## {kind.name}:" in text for kind in router.STRATEGIES)


def test_plugins_when_looked_at_then_each_is_one_documented_class_with_a_known_case() -> None:
    for kind in router.STRATEGIES:
        module = kind.__module__.rsplit(".", 1)[1]
        assert (module, bool(kind.__doc__), bool(kind.known_case)) == (kind.name, True, True)


class Undeclared(OpenStrategy):
    """Silences itself by a rule it never declared."""

    def decide(self, *_: Any) -> Any:
        return (Silence(strategy="open", rule="tired", detail="x"),)


class Unjournaled(OpenStrategy):
    """Journals a message that it never declared."""

    def decide(self, *_: Any) -> Any:
        return (Note(message=m.IntentClosed(ts_event=1, ts_init=1, intent_id="x", symbol="X")),)


@pytest.mark.parametrize(
    ("kind", "says"),
    [(Undeclared, "tired is not one of its"), (Unjournaled, "IntentClosed is not one of its journals")],
)
def test_plugin_when_it_says_what_it_did_not_declare_then_it_is_a_fault_of_ours(
    new_day: Any, kind: type[Strategy[Any]], says: str
) -> None:
    day = new_day(plugins=(kind,))
    day.plan()
    day.watch("SPY")
    with pytest.raises((ValueError, TypeError), match=says):
        day.minute(0, {"SPY": (3, 1, 2)})


def test_sequence_when_two_strategies_speak_in_a_minute_then_in_its_order(new_day: Any, make: Any) -> None:
    bars = {"SPY": (100_000_000, 96_000_000, 97_000_000)}
    env = {"STRAT_MID_ENABLED": "true", "MID_ANALYSIS_TIME": "15", "STRAT_MID_ADX_PERIOD": "2"}
    env |= {"STRAT_MID_BOLLINGER_PERIOD": "4", "STRAT_MID_BOLLINGER_WIDTH": "1", "STRAT_MID_ADX_MAX": "60"}
    for order, plugins in (
        (["open", "mid"], (OpenStrategy, MidStrategy)),
        (["mid", "open"], (MidStrategy, OpenStrategy)),
    ):
        for day in (new_day(plugins=plugins, **env), new_day(**env, STRATEGY_SEQUENCE=",".join([*order, "close"]))):
            day.plan(start_mid_ns=make.OPEN)
            day.watch("SPY")
            for minute in range(15):
                day.minute(minute, {"SPY": (101_000_000, 99_000_000, 100_000_000)})
            assert [event.strategy for event in day.minute(15, bars)] == order
