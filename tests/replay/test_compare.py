"""Comparing two plays of a day: equal when every line is, and the first difference is explained."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from bus.messages import Message, OrderFilled, OrderPrepared, ServiceName, SignalRaised
from config.paths import HomePaths
from replay import command_compare
from replay.__main__ import main
from replay.choice import Prepared, RunChoice, prepare
from replay.compare import Comparison, Verdict, compare, lines, of_replay, table
from replay.run import play_days

Events = dict[ServiceName, list[Message]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Events:
    day = play_days(prepare(RunChoice()), HomePaths(tmp_path_factory.mktemp("h"))).days[0]
    return of_replay(day.events)


def _changed(events: Events, service: ServiceName, change: Callable[[Message], Message | None]) -> Comparison:
    altered = [after for event in events[service] if (after := change(event)) is not None]
    return compare(events, {**events, service: altered})


def test_a_day_when_compared_with_itself_is_equal_in_every_line(played: Events) -> None:
    found = compare(played, played)
    assert found.is_equal
    assert found.first_difference() is None
    counts = {kind: (found.count(kind, 0), found.count(kind, 1)) for kind in found.pairs}
    assert counts == {"signal": (48, 48), "denial": (27, 27), "order": (50, 50), "fill": (42, 42)}
    said = table(found)
    assert said.count("\n= ") == 167
    assert said.count("the same") == 4
    assert "DIFFERENT" not in said


def test_a_fill_when_its_price_differs_is_explained(played: Events) -> None:
    def dearer(event: Message) -> Message:
        is_it = isinstance(event, OrderFilled) and event.execution_id == "PX-000002"
        return replace(event, price_micros=34_620_000) if is_it else event  # type: ignore[type-var]  # it is a struct

    found = _changed(played, "execution", dearer)
    assert not found.is_equal
    assert found.first_difference() == (
        "fill 2 differs: PX-000002: price is 34.61 in the processes and 34.62 in replay"
    )
    assert "\n! fill" in table(found)
    assert "DIFFERENT" in table(found)


@pytest.mark.parametrize(
    ("service", "kind", "field", "value"),
    [
        ("strategy", SignalRaised, "ts_event", 1),
        ("strategy", SignalRaised, "reference_micros", 1),
        ("execution", OrderPrepared, "client_order_id", "tb1-other"),
        ("execution", OrderPrepared, "qty_nanos", 1),
        ("execution", OrderPrepared, "ts_event", 1),
        ("execution", OrderFilled, "ts_event", 1),
        ("execution", OrderFilled, "commission_micros", 1),
        ("risk", None, "limit", "another"),
    ],
)
def test_any_field_when_it_differs_is_a_difference(
    played: Events, service: ServiceName, kind: type[Message] | None, field: str, value: object
) -> None:
    def change(event: Message) -> Message:
        is_it = isinstance(event, kind) if kind else type(event).__name__ == "OrderDenied"
        return replace(event, **{field: value}) if is_it else event  # type: ignore[type-var]  # it is a struct

    assert not _changed(played, service, change).is_equal


def test_a_line_when_one_side_lacks_it_is_named_with_the_side_that_has_it(played: Events) -> None:
    last = [event for event in played["execution"] if isinstance(event, OrderFilled)][-1]
    found = _changed(played, "execution", lambda event: None if event == last else event)
    assert found.first_difference() == "fill 42 differs: PX-000042 is in the processes alone"
    assert (found.count("fill", 0), found.count("fill", 1)) == (42, 41)


def test_lines_when_an_execution_is_reported_twice_have_it_once(played: Events) -> None:
    twice = {**played, "execution": [*played["execution"], *played["execution"]]}
    assert lines(twice) == lines(played)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "2025-03-15", "--end", "2025-03-16"], "There is nothing to play from 2025-03-15 to 2025-03-16"),
        (["--data", "minutes.csv"], "there is no such file or folder"),
    ],
)
def test_compare_when_the_processes_cannot_play_it_says_so(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["compare", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("is_equal", "faults", "code", "said"),
    [
        (True, [], 0, "The processes and replay did the same"),
        (False, [], 1, "fill 42 differs: PX-000042 is in the processes alone"),
        (True, ["cash: broker 1, ledger 2 micro-dollars"], 1, "in the processes: cash: broker 1, ledger 2"),
    ],
)
def test_compare_when_it_is_done_prints_the_table_and_says_so_by_its_exit_code(
    played: Events,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_equal: bool,
    faults: list[str],
    code: int,
    said: str,
) -> None:
    last = [event for event in played["execution"] if isinstance(event, OrderFilled)][-1]
    other = {**played, "execution": [event for event in played["execution"] if is_equal or event != last]}
    monkeypatch.setattr(command_compare, "both_ways", lambda _prepared: (compare(played, other), faults))
    monkeypatch.setattr(command_compare, "stop_on_signals", lambda: None)
    assert main(["compare", "--date", "2025-03-12"]) == code
    out = capsys.readouterr().out
    assert said in out
    assert "signals           48        48  the same" in out


def test_compare_when_it_has_several_days_plays_each_on_its_own_and_ends_with_a_line_for_each(
    played: Events, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last = [event for event in played["execution"] if isinstance(event, OrderFilled)][-1]
    other = {**played, "execution": [event for event in played["execution"] if event != last]}
    asked: list[tuple[str, ...]] = []

    def both_ways(prepared: Prepared) -> tuple[Comparison, list[str]]:
        asked.append(tuple(plan.session_date for plan in prepared.plans))
        assert prepared.settings["MARKET_DATA_DATE"] == prepared.plans[0].session_date
        return compare(played, other if prepared.plans[0].session_date == "2025-03-13" else played), []

    monkeypatch.setattr(command_compare, "both_ways", both_ways)
    monkeypatch.setattr(command_compare, "stop_on_signals", lambda: None)
    assert main(["compare", "--start", "2025-03-12", "--end", "2025-03-15"]) == 1
    assert asked == [("2025-03-12",), ("2025-03-13",), ("2025-03-14",)], "one that differs keeps no other from it"
    said = capsys.readouterr()
    lines = {line.split()[0]: line.split() for line in said.out.splitlines() if line.startswith("2025-03-1")}
    assert lines["2025-03-12"][-5:] == ["48", "27", "50", "42", "yes"]
    assert lines["2025-03-13"][-5:] == ["48", "27", "50", "42/41", "NO"]
    assert "2 of 3 sessions are equal." in said.out
    assert "100%  2025-03-14" in said.err


def test_a_day_when_put_into_one_line_names_the_strategies_that_signalled(played: Events) -> None:
    quiet: Events = {name: [] for name in played}
    days = [Verdict("2025-03-12", ("SPY",), compare(played, played), ()), Verdict("x", (), compare(quiet, quiet), ())]
    assert days[0].strategies == "open 22, mid 15, close 11"
    assert days[1].strategies == "none"
    assert not Verdict("x", (), compare(quiet, quiet), ("cash differs",)).is_equal
