"""Comparing two plays of a day: equal when every line is, and the first difference is explained."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from bus.messages import Message, OrderFilled, OrderPrepared, ServiceName, SignalRaised
from config.paths import HomePaths
from replay import command_compare
from replay.__main__ import main
from replay.choice import RunChoice, prepare
from replay.compare import Comparison, compare, lines, of_replay, table
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
        (["--start", "2025-03-12", "--end", "2025-03-13"], "compare plays one day and this chooses 2"),
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
