"""The report as text: it fetches nothing, runs nothing, and what it is told cannot become markup."""

import re
from html.parser import HTMLParser

import pytest

from bus.messages import CashMoved
from config.paths import HomePaths
from replay.charts import _POINTS_MAX, charts, kept_points
from replay.choice import RunChoice, prepare
from replay.html_report import html_report, percent, two_decimals
from replay.page import page, table
from replay.results import Results, results
from replay.run import play_days

_VOID = {"meta", "br", "use", "path", "link", "img"}


class _Checker(HTMLParser):
    """Collects tags and attributes, and every tag that is closed by another's end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID and (not self.open or self.open.pop() != tag):
            self.faults.append(tag)


def _results(tmp_path_factory: pytest.TempPathFactory, choice: RunChoice) -> Results:
    return results(play_days(prepare(choice), HomePaths(tmp_path_factory.mktemp("h"))))


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return _results(tmp_path_factory, RunChoice(start="2025-03-10", end="2025-03-14"))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Results:
    silent = tuple((f"STRAT_{name}_ENABLED", "false") for name in ("OPEN", "MID", "CLOSE"))
    return _results(tmp_path_factory, RunChoice(symbols=("SPY",), settings=silent))


@pytest.mark.parametrize("which", ["week", "quiet"])
def test_the_page_when_made_is_whole_and_fetches_and_runs_nothing(which: str, request: pytest.FixtureRequest) -> None:
    found: Results = request.getfixturevalue(which)
    text = html_report(found)
    assert text == html_report(found)
    checker = _Checker()
    checker.feed(text)
    assert (checker.faults, checker.open) == ([], [])
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in checker.tags}
    assert not [attrs for _, attrs in checker.tags if any(name.startswith("on") for name in attrs)]
    assert set(re.findall(r"https?://[^\"' <]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    ids = [attrs["id"] for _, attrs in checker.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert "#010101" not in text


def test_the_page_when_made_says_what_was_traded(week: Results) -> None:
    text = html_report(week)
    assert "Results on it say nothing about real markets" in text
    for word in ("2025-03-10 to 2025-03-14", "generated market, seed 2", "trailing stop", "max_open_positions"):
        assert word in text
    assert text.count("<tr><td>2025-03-1") == 5 + len(week.trades)


def test_charts_when_drawn_tell_in_words_what_they_show(week: Results, quiet: Results) -> None:
    drawn = {chart.key: chart for chart in charts(week.curves, week.trades)}
    assert drawn["days"].words.startswith("4 of 5 days ended higher. The best day made $803.02, the worst -$569.09.")
    for chart in drawn.values():
        for svg in chart.svgs.values():
            assert f'aria-label="{chart.title}. {chart.words}"' in svg
    silent = {chart.key: chart for chart in charts(quiet.curves, quiet.trades)}
    assert silent["strategies"].words == "No strategy ran."
    assert silent["trades"].words.startswith("0 closed trades")


def test_points_when_there_are_too_many_to_draw_keep_every_extreme() -> None:
    values = [0] * 100_000
    values[77_777], values[33_333] = 9, -9
    kept = kept_points(values)
    assert {77_777, 33_333, 99_999} <= set(kept)
    assert kept == sorted(kept)
    assert len(kept) <= _POINTS_MAX + 1
    assert kept_points([5, 4, 3]) == [0, 1, 2]


def test_text_when_it_is_markup_is_shown_and_not_obeyed() -> None:
    hostile = "<script>alert('1')</script>\"&"
    text = page(hostile, [table(hostile, [(hostile,), (hostile,)])])
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") == 4


def test_figures_when_not_defined_are_a_dash() -> None:
    assert (percent(None), two_decimals(None)) == ("-", "-")
    assert (percent("0.564103"), two_decimals("12.0420")) == ("56.41 %", "12.04")


def test_the_capital_when_named_is_what_was_paid_in(quiet: Results) -> None:
    paid = sum(e.amount_micros for e in quiet.outcome.events("execution") if isinstance(e, CashMoved))
    assert quiet.curves.start_micros == paid == 100_000_000_000
    assert "Capital at the start $100,000.00" in html_report(quiet)
