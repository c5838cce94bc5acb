"""The build of the universe: what is asked, in which order, that a death anywhere costs one answer, and the words."""

import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from finnhub_server import KEY, SECOND, UTC_S, Answer, FinnhubServer, StillTime, api_of, provision, said
from msgspec.structs import replace

from config.paths import HomePaths
from services.screener import universe_build
from services.screener.finnhub_answers import ListedName, Metrics, Missing, Profile
from services.screener.finnhub_api import FinnhubBusyError, FinnhubError, FinnhubKeyError
from services.screener.settings import ScreenerSettings
from services.screener.universe_build import BuildReport, Progress, UniverseBuild, duration
from services.screener.universe_cache import UniverseCache
from services.screener.universe_file import Universe, read_universe

ROOT = Path(__file__).resolve().parents[3]
DAY_S = 86_400
SETTINGS = ScreenerSettings(
    candidates_max=100,
    source="generated",
    data_dir="",
    session_date="2025-03-12",
    symbols=(),
    seed=1,
    price_min_micros=0,
    price_max_micros=1,
    gap_max_bps=1,
    volume_min_nanos=0,
    float_min_shares=0,
    universe_source="finnhub",
    mics=("XNYS", "XNAS", "ARCX"),
    security_types=("Common Stock", "ETP"),
    block_list=("BAD",),
    universe_age_days_max=7,
    fundamentals_age_days_max=30,
)
LISTED = (
    ("AAA", "XNYS", "Common Stock"),
    ("BAD", "XNYS", "Common Stock"),
    ("BRK.B", "XNYS", "Common Stock"),
    ("CCC", "XNAS", "Common Stock"),
    ("FUND", "ARCX", "ETP"),
    ("OTC", "OOTC", "Common Stock"),
    ("UNIT", "XNYS", "Unit"),
    ("bad name", "XNYS", "Common Stock"),
)
NAMES = tuple(ListedName(symbol=symbol, mic=mic, type=kind) for symbol, mic, kind in LISTED)


class Killed(BaseException):
    """The process is gone; nothing catches it."""


class Answers:
    """Finnhub's answers; `dies_at` is the question, counted from 1, at which the process dies."""

    def __init__(self, dies_at: int = 0) -> None:
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.error: Exception | None = None
        self.dies_at = dies_at

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if len(self.asked) == self.dies_at:
            raise Killed
        if self.error is not None:
            raise self.error
        if what in self.failing:
            raise FinnhubError(f"no answer to {what}")

    def names(self) -> tuple[ListedName, ...]:
        self._ask("names")
        return NAMES

    def profile(self, symbol: str) -> Profile | Missing:
        self._ask(f"profile {symbol}")
        return Profile(shares_outstanding=len(symbol) * 100, market_cap_dollars=ord(symbol[0]))

    def metrics(self, symbol: str) -> Metrics | Missing:
        self._ask(f"metrics {symbol}")
        if symbol == "CCC":
            return Missing.NO_DATA
        return Metrics(pe_milli=12, debt_to_equity_milli=None, market_cap_dollars=0, volume_10_day_shares=0)


def run(
    folder: Path,
    still: StillTime,
    answers: Answers,
    settings: ScreenerSettings = SETTINGS,
    heard: list[Progress] | None = None,
) -> BuildReport:
    cache = UniverseCache(folder / "cache.db")
    report = (lambda _: None) if heard is None else heard.append
    try:
        return UniverseBuild(
            settings, answers, cache, folder / "universe.json", utc_ns=still.utc_ns, report=report
        ).run()
    finally:
        cache.close()


def test_build_when_run_then_filtered_names_are_asked_about_but_no_funds_and_no_blocked_ones(
    tmp_path: Path, still: StillTime
) -> None:
    answers = Answers()
    built = run(tmp_path, still, answers)
    assert answers.asked == [
        "names",
        *(f"{what} {name}" for name in ("AAA", "BRK.B", "CCC") for what in ("profile", "metrics")),
    ]
    found = read_universe(tmp_path / "universe.json", now_s=UTC_S, age_days_max=7)
    assert found == built.universe
    assert [(one.symbol, one.mic) for one in found.names] == [
        ("AAA", "XNYS"),
        ("BAD", "XNYS"),
        ("BRK.B", "XNYS"),
        ("CCC", "XNAS"),
        ("FUND", "ARCX"),
    ]
    assert (found.listed_total, found.listed_at_s, found.mics) == (8, UTC_S, SETTINGS.mics)
    known = {one.symbol: one.fundamentals for one in found.names}
    assert known["FUND"] is None
    assert known["AAA"] is not None
    assert (known["AAA"].shares_outstanding, known["AAA"].pe_milli, known["AAA"].fetched_at_s) == (300, 12, UTC_S)
    assert known["CCC"] is not None
    assert known["CCC"].pe_milli is None
    assert (built.asked, built.failed) == (3, 0)


def test_build_when_killed_at_any_question_then_the_next_one_goes_on_where_it_was(tmp_path: Path) -> None:
    whole_time = StillTime()
    (tmp_path / "whole").mkdir()
    whole = run(tmp_path / "whole", whole_time, Answers()).universe
    for dies_at in range(1, 8):
        folder, still = tmp_path / str(dies_at), StillTime()
        folder.mkdir()
        first, second = Answers(dies_at), Answers()
        with pytest.raises(Killed):
            run(folder, still, first)
        if dies_at > 1:
            # As soon as the names are known there is a universe, whole whenever one looks.
            assert read_universe(folder / "universe.json", now_s=UTC_S, age_days_max=7).names
        assert run(folder, still, second).universe == whole
        answered = set(first.asked[:-1])
        name = first.asked[-1].split(" ")[-1]
        again = {what for what in second.asked if what in answered}
        # The other half of the answer that was on its way is all that is asked for twice.
        assert again <= {f"profile {name}"}


@pytest.mark.parametrize("dies_at", [1, 2])
def test_build_when_killed_between_the_answers_and_the_file_then_nothing_is_asked_twice(
    tmp_path: Path, still: StillTime, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    real, written = universe_build.write_universe, [0]

    def dying(path: Path, universe: Universe) -> str:
        written[0] += 1
        if written[0] == dies_at:
            raise Killed
        return real(path, universe)

    first, second = Answers(), Answers()
    with monkeypatch.context() as patched:
        patched.setattr(universe_build, "write_universe", dying)
        with pytest.raises(Killed):
            run(tmp_path, still, first)
    assert len(run(tmp_path, still, second).universe.names) == 5
    assert not set(first.asked) & set(second.asked)


def test_build_when_all_is_fresh_then_nothing_is_asked_and_a_day_later_only_the_list(
    tmp_path: Path, still: StillTime
) -> None:
    run(tmp_path, still, Answers())
    still.ns += (DAY_S - 1) * SECOND
    answers = Answers()
    run(tmp_path, still, answers)
    assert answers.asked == []
    still.ns += SECOND
    run(tmp_path, still, answers)
    assert answers.asked == ["names"]


def test_build_when_fundamentals_are_stale_then_the_oldest_are_asked_first(tmp_path: Path, still: StillTime) -> None:
    cautious = Answers()
    cautious.failing = {"profile AAA"}
    run(tmp_path, still, cautious)
    still.ns += DAY_S * SECOND
    run(tmp_path, still, Answers())
    still.ns += 30 * DAY_S * SECOND
    answers = Answers()
    run(tmp_path, still, answers)
    assert [what.split(" ")[1] for what in answers.asked if what.startswith("profile")] == ["BRK.B", "CCC"]
    still.ns += SECOND
    run(tmp_path, still, answers)
    assert answers.asked[-1] == "metrics AAA"


def test_build_when_one_name_has_no_answer_then_it_is_left_for_the_next(tmp_path: Path, still: StillTime) -> None:
    answers = Answers()
    answers.failing = {"metrics BRK.B"}
    built = run(tmp_path, still, answers)
    assert (built.asked, built.failed) == (3, 1)
    assert {one.symbol for one in built.universe.names if one.fundamentals} == {"AAA", "CCC"}
    again = Answers()
    assert run(tmp_path, still, again).failed == 0
    assert again.asked == ["profile BRK.B", "metrics BRK.B"]


def test_build_when_five_names_in_a_row_have_no_answer_then_it_ends_and_keeps_what_it_has(
    tmp_path: Path, still: StillTime
) -> None:
    many = tuple(ListedName(symbol=f"N{i}", mic="XNYS", type="Common Stock") for i in range(9))
    answers = Answers()
    answers.names = lambda: many  # type: ignore[method-assign]  # another list than usual
    answers.failing = {f"profile N{i}" for i in range(2, 9)}
    with pytest.raises(FinnhubError, match="no answer to profile N6"):
        run(tmp_path, still, answers)
    found = read_universe(tmp_path / "universe.json", now_s=UTC_S, age_days_max=7)
    assert len(found.names) == 9
    assert answers.asked[-1] == "profile N6"


@pytest.mark.parametrize("error", [FinnhubKeyError("the key is refused"), FinnhubBusyError("too many calls")])
def test_build_when_no_name_can_be_answered_then_it_ends_at_the_first(
    tmp_path: Path, still: StillTime, error: Exception
) -> None:
    run(tmp_path, still, Answers())
    still.ns += 31 * DAY_S * SECOND
    answers = Answers()
    answers.names = lambda: NAMES  # type: ignore[method-assign]  # the list is answered
    answers.error = error
    with pytest.raises(type(error)):
        run(tmp_path, still, answers)
    assert answers.asked == ["profile AAA"]


def test_build_when_the_filters_change_then_the_list_is_not_asked_for_again(tmp_path: Path, still: StillTime) -> None:
    run(tmp_path, still, Answers())
    answers = Answers()
    wider = replace(SETTINGS, mics=("OOTC", "XNYS"), security_types=("Common Stock",))
    built = run(tmp_path, still, answers, wider)
    assert answers.asked == ["profile OTC", "metrics OTC"]
    assert [one.symbol for one in built.universe.names] == ["AAA", "BAD", "BRK.B", "OTC"]


def test_build_when_the_filters_let_nothing_in_then_it_says_what_there_is(tmp_path: Path, still: StillTime) -> None:
    wrong = replace(SETTINGS, security_types=("common stock",))
    with pytest.raises(FinnhubError, match=r"let none of Finnhub's 8 names in.*XNYS \(5\).*Common Stock \(6\), ETP"):
        run(tmp_path, still, Answers(), wrong)
    assert not (tmp_path / "universe.json").exists()


def test_progress_when_said_then_count_rate_and_rest_are_there(tmp_path: Path, still: StillTime) -> None:
    heard: list[Progress] = []
    run(tmp_path, still, Answers(), heard=heard)
    assert [(one.done, one.total) for one in heard] == [(1, 3), (2, 3), (3, 3)]
    assert heard[0].words() == "universe: 1 of 3 names"
    later = Progress(done=300, failed=2, total=11_000, elapsed_s=600)
    assert later.words() == "universe: 300 of 11,000 names, 2 without an answer, 30 a minute, 5 h 56 min left"
    assert [duration(s) for s in (45.2, 725, 18_180)] == ["45 s", "12 min", "5 h 03 min"]


def test_build_when_the_server_is_as_slow_as_a_free_key_then_it_keeps_60_a_minute(
    tmp_path: Path, still: StillTime, server: FinnhubServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rows = [{"symbol": f"N{i:03d}", "mic": "XNYS", "type": "Common Stock"} for i in range(100)]
    server.answers |= {
        "stock/symbol": said(rows),
        "stock/profile2": said({"ticker": "X", "currency": "USD", "shareOutstanding": 1.5}),
        "stock/metric": [said({}, 429, X_Ratelimit_Reset=str(UTC_S + 5)), said({"metric": {"peTTM": 9}})],
        "stock/metric N007": said({"error": "You don't have access to this resource."}, 403),
        "stock/metric N009": Answer(b"<html>", 200, kind="text/html"),
    }
    times: list[int] = []
    server.before = lambda _asked: times.append(still.ns)
    cache = UniverseCache(tmp_path / "cache.db")
    build = UniverseBuild(
        SETTINGS, api_of(server, still), cache, tmp_path / "universe.json", utc_ns=still.utc_ns, report=lambda _: None
    )
    built = build.run()
    cache.close()
    assert built.failed == 1
    known = {one.symbol: one.fundamentals for one in built.universe.names}
    assert known["N009"] is None
    assert known["N007"] is not None
    assert (known["N007"].pe_milli, known["N007"].shares_outstanding) == (None, 1_500_000)
    assert sum(found is not None and found.pe_milli == 9_000 for found in known.values()) == 98
    assert all(times[at + 60] - times[at] >= 60 * SECOND for at in range(len(times) - 60))
    assert "100 of 100" not in caplog.text
    assert "99 of 100 names, 1 without an answer" in caplog.text
    assert KEY not in caplog.text


BUILD = """
import sys
from pathlib import Path
from services.screener.verbs import Urls, run_verb
from config.paths import HomePaths
sys.exit(run_verb(["build-universe"], HomePaths(Path(sys.argv[1])), urls=Urls(sys.argv[2])))
"""


def build_process(home: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(home), url], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_build_when_its_process_is_killed_then_the_next_process_goes_on(tmp_path: Path, server: FinnhubServer) -> None:
    paths = HomePaths(tmp_path)
    paths.make()
    provision(paths)
    rows = [{"symbol": f"N{i}", "mic": "XNYS", "type": "Common Stock"} for i in range(6)]
    server.answers |= {
        "stock/symbol": said(rows),
        "stock/profile2": said({"ticker": "X", "shareOutstanding": 1}),
        "stock/metric": said({"metric": {"peTTM": 9}}),
        "stock/profile2 N3": Answer(is_silent=True),
    }
    reached = threading.Event()
    server.before = lambda asked: reached.set() if asked.query.get("symbol") == ["N3"] else None
    process = build_process(tmp_path, server.url)
    assert reached.wait(60)
    process.kill()
    out, err = process.communicate()
    assert process.returncode == -signal.SIGKILL
    server.answers["stock/profile2 N3"] = said({})
    process = build_process(tmp_path, server.url)
    out_2, err_2 = process.communicate(timeout=60)
    assert (process.returncode, b"6 names of 6" in out_2) == (0, True), err_2
    assert server.names_asked("profile2") == ["N0", "N1", "N2", "N3", "N3", "N4", "N5"]
    assert server.paths().count("/api/v1//stock/symbol") == 1
    files = [each.read_bytes() for each in tmp_path.rglob("*") if each.is_file() and "storage" not in each.parts]
    assert KEY.encode() not in b"".join([out, err, out_2, err_2, *files])
