"""The command line: what is printed, what is refused, and with which exit code."""

import json
from pathlib import Path

import pytest
from finnhub_server import KEY, FinnhubServer, provision, said
from ibkr_data_bench import DataBench

from config.paths import HomePaths
from services.screener import universe_keeper, verbs
from services.screener.verbs import Urls, run_verb


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    return HomePaths(tmp_path / "home")


def answering(server: FinnhubServer) -> None:
    names = (("AAA", "XNYS", "Common Stock"), ("FUND", "ARCX", "ETP"), ("OTC", "OOTC", "Common Stock"))
    server.answers |= {
        "stock/symbol": said([{"symbol": symbol, "mic": mic, "type": kind} for symbol, mic, kind in names]),
        "stock/profile2": said({"ticker": "AAA", "shareOutstanding": 2}),
        "stock/metric": said({"metric": {"peTTM": 9}}),
    }


def test_build_when_run_then_progress_is_on_stderr_and_the_result_on_stdout(
    paths: HomePaths, server: FinnhubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.make()
    provision(paths)
    answering(server)
    assert run_verb(["build-universe"], paths, urls=Urls(server.url)) == 0
    out = capsys.readouterr()
    assert "universe: 1 of 1 names" in out.err
    assert "universe.json: 2 names of 3 listed at" in out.out
    assert "1 asked about in" in out.out
    assert KEY not in out.out + out.err
    assert run_verb(["universe"], paths) == 0
    shown = capsys.readouterr().out
    assert "exchanges     XNYS, XNAS, XASE, ARCX, BATS" in shown
    assert "fundamentals  1 known" in shown
    assert run_verb(["universe", "--json"], paths) == 0
    assert [name["symbol"] for name in json.loads(capsys.readouterr().out)["names"]] == ["AAA", "FUND"]


def test_build_when_a_name_has_no_answer_then_it_ends_with_1(
    paths: HomePaths, server: FinnhubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.make()
    provision(paths)
    answering(server)
    del server.answers["stock/metric"]
    assert run_verb(["build-universe"], paths, urls=Urls(server.url)) == 1
    assert "1 without an answer" in capsys.readouterr().out


def test_build_when_interrupted_then_says_that_it_can_go_on(
    paths: HomePaths, server: FinnhubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    paths.make()
    provision(paths)
    monkeypatch.setattr(verbs, "build_universe", interrupted)
    assert run_verb(["build-universe"], paths, urls=Urls(server.url)) == 130
    assert "the next build goes on here" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["build-universe", "universe"])
def test_verbs_when_the_home_is_not_configured_then_say_so(
    paths: HomePaths, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb([verb], paths) == 1
    assert "This bot is not configured" in capsys.readouterr().err


def test_universe_when_there_is_none_then_says_how_to_build_it(
    paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.make()
    provision(paths)
    assert run_verb(["universe"], paths) == 1
    assert "python -m services.screener build-universe" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["bogus"], [], ["universe", "--bogus"]])
def test_verbs_when_unknown_then_end_with_2(
    paths: HomePaths, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(arguments, paths) == 2
    assert "usage:" in capsys.readouterr().err


def coarse(tmp_path: Path) -> list[str]:
    (tmp_path / "20140324.csv").write_text("A X,AAA,50,900000,1,True,1,1\nB X,BBB,3,900000,1,True,1,1\n")
    (tmp_path / "20140325.csv").write_text("A X,AAA,51,900000,1,True,1,1\nB X,BBB,4,50,1,True,1,1\n")
    return ["screen", "--coarse", str(tmp_path / "20140325.csv"), "--prior", str(tmp_path / "20140324.csv")]


def test_screen_when_run_then_candidates_counts_and_rules_not_applied_are_told(
    paths: HomePaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(coarse(tmp_path), paths) == 0
    out = capsys.readouterr()
    assert "2 names, intraday" in out.out
    assert "   1 AAA       price_min $51.00 (>= $5.00)" in out.out
    assert "1 candidates, 1 screened out" in out.out
    assert "price_min                 1" in out.out
    assert "pe_max is not applied: SCREENER_PE_MAX is empty" in out.out
    assert "the proposals of the configuration page are used" in out.err


@pytest.mark.parametrize(
    ("symbol", "code", "says"),
    [
        ("aaa", 0, "AAA is candidate 1: price_min $51.00 (>= $5.00)"),
        ("BBB", 0, "BBB is screened out: price_min $4.00 (>= $5.00); gap +33.34 % (<= 15.00 % either way); volume 50"),
        ("ZZZ", 1, "ZZZ is not in this universe."),
    ],
)
def test_screen_when_asked_why_then_one_name_is_told(
    paths: HomePaths, tmp_path: Path, capsys: pytest.CaptureFixture[str], symbol: str, code: int, says: str
) -> None:
    assert run_verb([*coarse(tmp_path), "--why", symbol], paths) == code
    out = capsys.readouterr()
    assert says in out.out + out.err


def test_screen_when_asked_for_json_then_the_whole_list_has_names_for_its_fields(
    paths: HomePaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb([*coarse(tmp_path), "--json"], paths) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["names"], found["scan_mode"]) == (2, "intraday")
    assert found["candidates"][0]["reasons"][0] == {
        "rule": "price_min",
        "value": "$51.00",
        "threshold": ">= $5.00",
        "passed": True,
    }
    assert [reason["rule"] for reason in found["rejected"][0]["reasons"]] == ["price_min", "gap", "volume"]


def test_screen_when_the_file_is_missing_then_says_so(paths: HomePaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(["screen", "--coarse", "nowhere.csv"], paths) == 1
    assert "nowhere.csv cannot be read" in capsys.readouterr().err


def test_screen_when_live_then_the_universe_is_ranked_by_snapshots_and_the_time_of_the_session(
    paths: HomePaths, server: FinnhubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.make()
    keys = {"alpaca_data_key": "CANARYKEYID", "alpaca_data_secret": "canarySECRET"}
    provision(paths, more=keys)
    answering(server)
    monkeypatch.setattr(verbs, "utc_ns", lambda: 1_760_000_400 * 10**9)  # 2025-10-09 09:00 UTC, before the open
    monkeypatch.setattr(universe_keeper, "utc_ns", verbs.utc_ns)
    assert run_verb(["build-universe"], paths, urls=Urls(server.url)) == 0
    bars = {"dailyBar": {"t": "2025-10-08T04:00:00Z", "c": 50, "v": 900_000}, "prevDailyBar": None}
    server.answers["stocks/snapshots"] = said({"AAA": {"latestTrade": {"t": "2025-10-09T08:59:00Z", "p": 52}, **bars}})
    urls = Urls(server.url, server.root)
    assert run_verb(["screen"], paths, urls=urls) == 0
    out = capsys.readouterr()
    assert "1 snapshots of Alpaca's iex feed at 2025-10-09T09:00:00.000Z; universe of 2025-10-09T09:00:00Z" in out.out
    assert "2 names, pre-market" in out.out
    assert "gap +4.00 % (<= 15.00 % either way); volume 900,000 shares (>= 100,000 shares)" in out.out
    assert "exchange XNYS (one of XNYS, XNAS, XASE, ARCX, BATS); type Common Stock" in out.out
    assert run_verb(["screen", "--mode", "intraday", "--why", "AAA"], paths, urls=urls) == 0
    assert "AAA is screened out: volume unknown (>= 100,000 shares)" in capsys.readouterr().out
    assert not [secret for secret in (KEY, *keys.values()) if secret in out.out + out.err]


def test_screen_when_live_without_keys_then_says_which_are_missing(
    paths: HomePaths, server: FinnhubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.make()
    provision(paths)
    answering(server)
    assert run_verb(["build-universe"], paths, urls=Urls(server.url)) == 0
    assert run_verb(["screen"], paths, urls=Urls(server.url, server.root)) == 1
    assert "There is no Alpaca key pair" in capsys.readouterr().err


def test_screen_when_the_data_is_interactive_brokers_then_its_prices_rank_the_universe(
    paths: HomePaths,
    server: FinnhubServer,
    ib: DataBench,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths.make()
    provision(paths, MARKET_DATA_SOURCE="ibkr", IBKR_PORT=str(ib.gateway.port), IBKR_LIBRARY=ib.library)
    answering(server)
    monkeypatch.setattr(verbs, "utc_ns", lambda: 1_760_000_400 * 10**9)  # 2025-10-09 09:00 UTC, before the open
    monkeypatch.setattr(universe_keeper, "utc_ns", verbs.utc_ns)
    assert run_verb(["build-universe"], paths, urls=Urls(server.url)) == 0
    for name in ("AAA", "FUND"):
        ib.gateway.say_ticks(
            name, last="52", last_time_s=1_760_000_000, close="50", volume="10", average_volume="900000"
        )
    assert run_verb(["screen"], paths, urls=Urls(server.url)) == 0
    out = capsys.readouterr().out
    assert "snapshots of Interactive Brokers' market data at 2025-10-09T09:00:00.000Z" in out
    assert "gap +4.00 % (<= 15.00 % either way); volume 900,000 shares (>= 100,000 shares)" in out
