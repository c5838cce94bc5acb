"""Settings tried side by side: which combinations, in which order, what fails, and what is not computed again."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from replay import command_sweep
from replay.__main__ import main
from replay.choice import RunChoice
from replay.engines import on_cluster
from replay.faults import ReplayError
from replay.stats import Stats
from replay.sweep import Job, Kept, Verdict, combinations, evaluate, jobs, ranked, read_sets
from replay.sweep_report import sweep_report, warning

SETS = [("A", ("1", "2", "3")), ("B", ("x", "y"))]
ZERO = Stats(
    net="0", gross_profit="0", gross_loss="0", win_rate=None, profit_factor=None, max_drawdown="0",
    max_drawdown_ratio="0", sharpe=None, exposure="0", average_invested="0", turnover="0", turnover_ratio="0",
    fees="0", trades=0, open_trades=0,
)  # fmt: skip


class Here:
    """An engine in this process that counts what it plays; it can break off after some."""

    def __init__(self, breaks_after: int = 1000) -> None:
        self.played: list[Job] = []
        self._breaks_after = breaks_after

    def __call__(self, todo: Sequence[Job]) -> Iterator[tuple[Job, Verdict]]:
        for job in reversed(todo):
            if len(self.played) == self._breaks_after:
                raise KeyboardInterrupt
            self.played.append(job)
            yield job, evaluate(job)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    engine = Here()
    monkeypatch.setattr(command_sweep, "on_this_machine", lambda _workers: engine)
    return engine


def _table(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_combinations_when_asked_for_are_the_whole_grid_in_order() -> None:
    found = combinations(SETS)
    assert [tuple(value for _, value in one) for one in found] == [
        ("1", "x"), ("1", "y"), ("2", "x"), ("2", "y"), ("3", "x"), ("3", "y"),
    ]  # fmt: skip


def test_combinations_when_drawn_are_of_the_grid_without_repeats_and_the_same_for_a_seed() -> None:
    whole = combinations(SETS)
    drawn = combinations(SETS, 4, seed=5)
    assert len(set(drawn)) == 4
    assert set(drawn) <= set(whole)
    assert combinations(SETS, 4, seed=5) == drawn
    assert any(combinations(SETS, 4, seed=seed) != drawn for seed in range(6, 12))
    assert combinations(SETS, 6, seed=5) == whole


def test_combinations_when_there_are_too_many_are_refused() -> None:
    sets = [(key, tuple(str(value) for value in range(1000))) for key in "AB"]
    with pytest.raises(ReplayError, match="1,000,000 combinations are too many"):
        combinations(sets)
    assert len(combinations(sets, 10)) == 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "at least once"),
        (["TRAILING_STOP"], "give KEY=v1,v2,v3"),
        (["TRAILING_STOP= , "], "give KEY=v1,v2,v3"),
        (["NO_SUCH=1,2"], "NO_SUCH is not a setting"),
        (["MARKET_DATA_SEED=1,2"], "not a setting that can be swept"),
        (["TRAILING_STOP=1", "trailing_stop=2"], "given twice"),
    ],
)
def test_sets_when_malformed_say_what_to_give(words: list[str], said: str) -> None:
    with pytest.raises(ReplayError, match=said):
        read_sets(words)


def test_sets_when_read_have_each_value_once() -> None:
    assert read_sets(["trailing_stop= 1,2 ,1", "MAX_OPEN_POSITIONS=8"]) == [
        ("TRAILING_STOP", ("1", "2")), ("MAX_OPEN_POSITIONS", ("8",)),
    ]  # fmt: skip


def test_a_job_when_settings_days_or_data_differ_is_another(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("one")
    choice = RunChoice(data=str(path))
    wanted = combinations(SETS)
    keys = {job.key for job in jobs(choice, wanted)}
    assert len(keys) == 6
    assert {job.key for job in jobs(choice, wanted)} == keys
    path.write_text("other bytes")
    changed = {job.key for job in jobs(choice, wanted)}
    later = {job.key for job in jobs(RunChoice(data=str(path), end="2025-03-12"), wanted)}
    split = {job.key for job in jobs(choice, wanted, "2025-03-12")}
    assert len(keys | changed | later | split) == 24


def test_verdicts_when_ranked_have_the_best_first_then_those_without_then_failures() -> None:
    def verdict(name: str, sharpe: str | None) -> Verdict:
        return Verdict(combination=(("A", name),), stats=replace(ZERO, sharpe=sharpe, max_drawdown=sharpe or "9"))

    failed = Verdict(combination=(("A", "f"),), error="why")
    found = [failed, verdict("n", None), verdict("2", "2"), verdict("10", "10"), verdict("-1", "-1")]
    assert [one.combination[0][1] for one in ranked(found, "sharpe")] == ["10", "2", "-1", "n", "f"]
    assert [one.combination[0][1] for one in ranked(found, "max_drawdown")] == ["-1", "2", "n", "10", "f"]


def test_a_sweep_when_a_combination_fails_reports_it_and_plays_the_others(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["sweep", "--symbols", "SPY,QQQ,IWM", "--set", "TRAILING_STOP=1,30,2", "--out", str(out)]
    assert main(arguments) == 0
    rows = _table(out)
    assert {row["TRAILING_STOP"] for row in rows[:2]} == {"1", "2"}
    assert (rows[2]["rank"], rows[2]["TRAILING_STOP"], rows[2]["net"]) == ("", "30", "")
    assert "must be a number from 0.1 to 20" in rows[2]["error"]
    assert "Failed: TRAILING_STOP=30: " in capsys.readouterr().err
    page = (out / "report.html").read_text()
    assert "3 combinations were tried on the same days" in page
    assert "must be a number from 0.1 to 20" in page


def test_a_sweep_when_it_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["sweep", "--symbols", "SPY,QQQ", "--set", "TRAILING_STOP=1,30,2,3", "--out", str(out)]
    first, second = Here(breaks_after=3), Here()
    for engine, code in ((first, 130), (second, 0)):
        monkeypatch.setattr(command_sweep, "on_this_machine", lambda _workers, engine=engine: engine)
        assert main(arguments) == code
    # Of the first three two were done; the one that failed is tried again.
    assert [dict(job.combination)["TRAILING_STOP"] for job in first.played] == ["3", "2", "30"]
    assert [dict(job.combination)["TRAILING_STOP"] for job in second.played] == ["30", "1"]
    said = capsys.readouterr().err
    assert "Stopped. The same command goes on from what is done." in said
    assert "2 of 4 combinations are done already" in said
    assert len(_table(out)) == 4


def test_a_kept_verdict_when_damaged_or_of_another_is_played_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "done")
    job, other = jobs(RunChoice(), combinations(SETS))[:2]
    assert kept.get(job) is None
    kept.put(job, Verdict(combination=job.combination, stats=ZERO))
    assert kept.get(job) == Verdict(combination=job.combination, stats=ZERO)
    kept.put(other, Verdict(combination=job.combination, stats=ZERO))
    assert kept.get(other) is None
    (tmp_path / "done" / f"{job.key}.json").write_text('{"combination": ')
    assert kept.get(job) is None


def test_a_sweep_when_split_ranks_by_the_earlier_days_and_shows_the_later_apart(tmp_path: Path, here: Here) -> None:
    out = tmp_path / "out"
    days = ["--start", "2025-03-12", "--end", "2025-03-13"]
    arguments = ["sweep", *days, "--symbols", "ELMZ,XARQ,KELZ", "--set", "TRAILING_STOP=1,3", "--out", str(out)]
    assert main([*arguments, "--validate-from", "2025-03-13"]) == 0
    rows = _table(out)
    for row in rows:
        combination = (("TRAILING_STOP", row["TRAILING_STOP"]),)
        alone = [
            evaluate(Job("", combination, RunChoice(symbols=("ELMZ", "XARQ", "KELZ"), start=day, settings=combination)))
            for day in ("2025-03-12", "2025-03-13")
        ]
        assert [row["net"], row["validate_net"]] == [verdict.stats.net for verdict in alone if verdict.stats]
    assert float(rows[0]["net"]) >= float(rows[1]["net"])
    assert "validation" in warning(2, has_validation=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--validate-from", "soon"], "must be a day"),
        (["--validate-from", "2025-03-12", "--start", "2025-03-12"], "must lie after --start"),
        (["--random", "-1"], "--random is '-1'"),
        (["--workers", "x"], "--workers is 'x'"),
    ],
)
def test_a_sweep_when_an_option_is_wrong_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["sweep", "--set", "TRAILING_STOP=1", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_sweep_when_its_folder_is_not_a_sweeps_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["sweep", "--set", "TRAILING_STOP=1", "--out", str(tmp_path), "--force"]) == 2
    assert "nothing was touched" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_report_when_nothing_could_be_played_says_why() -> None:
    failed = Verdict(combination=(("A", "<1>"),), error="<why>")
    text = sweep_report([failed], "net", "source", "")
    assert "&lt;why&gt;" in text
    assert "<why>" not in text


def test_a_cluster_when_nobody_answers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.engines._CONNECT_S", 1)
    with pytest.raises(ReplayError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(on_cluster("tcp://127.0.0.1:9")(jobs(RunChoice(), combinations(SETS))))
