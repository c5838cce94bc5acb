"""The volatility index of a session: from the generator or a file, always of a day before."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bus.assembly import Setup
from bus.messages import VixObserved
from bus.testing import a_plan
from config.env_bot import EnvBot, parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY
from services.screener.shell import build
from services.screener.vix import VixFileError, VixSource

REAL = (Path(__file__).resolve().parents[3] / "../shared/data/vix/vix-daily.csv").resolve()
HEAD = "DATE,OPEN,HIGH,LOW,CLOSE"
#: What stands in the recorded file for the trading day before each of these.
REAL_CLOSES = {
    "2013-10-07": 1_674,
    "2013-10-08": 1_941,
    "2013-10-09": 2_034,
    "2013-10-10": 1_960,
    "2015-12-24": 1_557,
}


def env(**changes: str) -> EnvBot:
    return parse(proposals() | changes)


def recorded(tmp_path: Path, *lines: str) -> dict[str, str]:
    file = tmp_path / "vix.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"MARKET_DATA_SOURCE": "recorded", "MARKET_DATA_DIR": str(tmp_path), "VIX_DATA_FILE": str(file)}


def line(day: str, close: str) -> str:
    return f"{day},1,2,0.5,{close}"


def observed(settings: dict[str, str], day: str = "2013-10-08") -> tuple[str, int, str]:
    said = VixSource(env(**settings)).observe(a_plan(day), 5)
    assert (said.session_date, said.ts_event) == (day, 5)
    return said.as_of_date, said.vix_hundredths, said.source


def test_vix_when_generated_then_the_seed_and_the_day_make_it() -> None:
    first = observed({"MARKET_DATA_SEED": "2"})
    assert first == observed({"MARKET_DATA_SEED": "2"})
    assert first[0] == "2013-10-07"
    figures = {observed({"MARKET_DATA_SEED": str(seed)})[1] for seed in range(200)}
    assert min(figures) >= 1_500
    assert max(figures) <= 3_500
    assert len(figures) > 150


def test_vix_when_recorded_then_the_last_close_before_the_session_counts(tmp_path: Path) -> None:
    rows = (line("2013-10-04", "16.74"), line("2013-10-07", "19.410000"), line("2013-10-08", "20.34"))
    assert observed(recorded(tmp_path, HEAD, *rows)) == ("2013-10-07", 1_941, "vix.csv")
    assert observed(recorded(tmp_path, HEAD, *reversed(rows))) == ("2013-10-07", 1_941, "vix.csv")
    assert observed(recorded(tmp_path, HEAD, *rows), "2013-10-07")[:2] == ("2013-10-04", 1_674)


def test_vix_when_the_future_of_the_file_changes_then_what_is_said_does_not(tmp_path: Path) -> None:
    known = (HEAD, line("2013-10-07", "19.41"))
    for future in ("20.34", "99"):
        assert observed(recorded(tmp_path, *known, line("2013-10-08", future)))[1] == 1_941


def test_vix_when_it_cannot_be_known_then_zero_and_the_reason(tmp_path: Path) -> None:
    data = recorded(tmp_path, HEAD, line("2013-10-08", "20.34"))
    assert observed(data | {"VIX_DATA_FILE": ""}) == ("", 0, "VIX_DATA_FILE is empty")
    assert observed(data) == ("", 0, "VIX_DATA_FILE has no day before 2013-10-08")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("date;close",), "does not begin with DATE,OPEN,HIGH,LOW,CLOSE"),
        ((HEAD, "2013-10-07,1,2"), "malformed in line 2"),
        ((HEAD, line("7 October", "19")), "malformed in line 2"),
        ((HEAD, line("2013-10-07", "19"), line("2013-10-08", "x")), "malformed in line 3"),
        ((HEAD, line("2013-10-07", "NaN")), "malformed in line 2"),
        ((HEAD, line("2013-10-07", "-3")), "a close of -3 in line 2"),
        ((HEAD, line("2013-10-07", "Infinity")), "malformed in line 2"),
    ],
)
def test_file_when_malformed_then_the_start_is_refused_in_words(
    tmp_path: Path, lines: tuple[str, ...], says: str
) -> None:
    source = VixSource(env(**recorded(tmp_path, *lines)))
    (fault,) = source.faults()
    assert says in fault
    assert "VIX_DATA_FILE" in fault
    with pytest.raises(VixFileError, match=says):
        source.observe(a_plan(), 5)


def test_file_when_missing_then_a_fault_and_when_sound_or_not_used_none(tmp_path: Path) -> None:
    data = recorded(tmp_path, HEAD, line("2013-10-07", "19.41"))
    assert VixSource(env(**data)).faults() == ()
    nowhere = {"VIX_DATA_FILE": str(tmp_path / "nowhere.csv")}
    (fault,) = VixSource(env(**(data | nowhere))).faults()
    assert "cannot be read" in fault
    assert VixSource(env(**nowhere)).faults() == ()


def test_screener_when_the_volatility_is_reported_then_said_once_for_a_session(tmp_path: Path) -> None:
    screener = build(Setup(paths=HomePaths(tmp_path), env=env(), identity=DEMO_IDENTITY))
    said = VixSource(env()).observe(a_plan(), 5)
    state: Any = screener.core.initial()
    assert list(screener.core.decide(state, said, 5)) == [said]
    state = screener.core.evolve(state, said)
    assert list(screener.core.decide(state, said, 6)) == []
    tomorrow = replace(said, session_date="2013-10-09")
    assert list(screener.core.decide(state, tomorrow, 6)) == [tomorrow]
    assert isinstance(said, VixObserved)


def test_vix_when_the_file_is_the_real_one_then_the_close_of_the_day_before(tmp_path: Path) -> None:
    data = {"MARKET_DATA_SOURCE": "recorded", "MARKET_DATA_DIR": str(tmp_path), "VIX_DATA_FILE": str(REAL)}
    for day, expected in REAL_CLOSES.items() if REAL.is_file() else ():
        assert observed(data, day)[1] == expected
