"""The demonstration before it plays: a home of its own, and one clear message for whatever cannot be played."""

import io
import socket
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from config.paths import HomeError
from replay.demo import MARKER, ProgressBar, main, prepare_home

DAY = "2013-10-08"
OPEN_MS = 1_000 * 60_000
TRADES = "34200000,1450000,1451000,1449000,1450500,100\n"
QUOTES = "34200000,1449900,1450900,1448900,1450400,200,1450100,1451100,1449100,1450600,300\n"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # The folder's name is short: unix sockets hang off a home.
    return tmp_path_factory.mktemp("h")


# --- the home ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [True, False])
def test_a_home_when_new_or_empty_is_made_and_marked(folder: Path, exists: bool) -> None:
    root = folder / "d"
    if exists:
        root.mkdir()
    paths = prepare_home(str(root))
    assert paths.root == root
    assert (root / MARKER).is_file()
    assert paths.run.is_dir()


@pytest.mark.parametrize("name", ["letter.txt", "home/letter.txt", ".hidden"])
def test_a_home_when_it_holds_something_else_is_refused_and_left_as_it_is(folder: Path, name: str) -> None:
    path = folder / "d" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(HomeError, match=r"not empty.*nothing was touched.*HOME_DIR"):
        prepare_home(str(folder / "d"))
    assert path.read_text() == "mine"
    assert [p for p in (folder / "d").rglob("*") if p.is_file()] == [path]


def test_a_home_when_it_is_a_file_is_refused_and_left_as_it_is(folder: Path) -> None:
    path = folder / "d"
    path.write_text("mine")
    with pytest.raises(HomeError, match="HOME"):
        prepare_home(str(path))
    assert path.read_text() == "mine"


def test_a_home_when_of_an_earlier_demonstration_is_made_anew_and_nothing_beside_it(folder: Path) -> None:
    (folder / "letter.txt").write_text("mine")
    paths = prepare_home(str(folder / "d"))
    (paths.state / "execution.db").write_bytes(b"old")
    again = prepare_home(str(folder / "d"))
    assert list(again.state.iterdir()) == []
    assert (again.root / MARKER).is_file()
    assert (folder / "letter.txt").read_text() == "mine"


def test_a_home_when_a_demonstration_still_runs_on_it_is_refused_and_left_as_it_is(folder: Path) -> None:
    paths = prepare_home(str(folder / "d"))
    (paths.state / "execution.db").write_bytes(b"old")
    with socket.socket(socket.AF_UNIX) as supervisord:
        supervisord.bind(str(paths.run / "supervisor.sock"))
        supervisord.listen()
        with pytest.raises(HomeError, match=r"still runs.*HOME_DIR"):
            prepare_home(str(folder / "d"))
    assert (paths.state / "execution.db").read_bytes() == b"old"


def test_a_home_when_its_demonstration_was_killed_is_made_anew(folder: Path) -> None:
    paths = prepare_home(str(folder / "d"))
    (paths.state / "execution.db").write_bytes(b"old")
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    (paths.run / "supervisord.pid").write_text(f"{ended.pid}\n")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(paths.run / "supervisor.sock"))
        killed.listen()
    assert list(prepare_home(str(folder / "d")).state.iterdir()) == []


# --- the bar -----------------------------------------------------------------------------------------------------


def test_the_bar_when_not_on_a_terminal_prints_a_line_for_each_tenth() -> None:
    out = io.StringIO()
    bar = ProgressBar(out, OPEN_MS, OPEN_MS + 1000)
    for ms in range(0, 1001, 10):
        bar.move(OPEN_MS + ms)
    bar.end()
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert [line.split("] ")[1].split()[0] for line in lines] == [f"{tenth}0%" for tenth in range(1, 11)]
    assert "\r" not in out.getvalue()
    assert "16:40 UTC" in lines[0]


def test_the_bar_when_the_clock_is_out_of_the_session_stays_within_it() -> None:
    out = io.StringIO()
    bar = ProgressBar(out, OPEN_MS, OPEN_MS)
    bar.move(0)
    bar.move(OPEN_MS * 2)
    (line,) = out.getvalue().splitlines()
    assert "100%" in line
    assert "." not in line


def test_the_bar_when_something_is_said_keeps_it_on_a_line_of_its_own() -> None:
    out = io.StringIO()
    bar = ProgressBar(out, OPEN_MS, OPEN_MS + 1000)
    bar.say("bought")
    bar.move(OPEN_MS + 500)
    bar.say("sold")
    assert [line[:6] for line in out.getvalue().splitlines()] == ["bought", "[#####", "sold"]


def test_the_bar_when_on_a_terminal_stays_on_one_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    bar = ProgressBar(out, OPEN_MS, OPEN_MS + 1000)
    for ms in (0, 500, 1000):
        bar.move(OPEN_MS + ms)
    assert "\n" not in out.getvalue()
    bar.say("sold")
    bar.end()
    assert out.getvalue().count("\n") == 2
    assert out.getvalue().endswith("UTC\n")


# --- what cannot be played ---------------------------------------------------------------------------------------


def _record(folder: Path, symbol: str = "spy", day: str = DAY) -> Path:
    minutes = folder / "data" / "equity" / "usa" / "minute" / symbol
    minutes.mkdir(parents=True, exist_ok=True)
    for kind, text in (("trade", TRADES), ("quote", QUOTES)):
        with ZipFile(minutes / f"{day.replace('-', '')}_{kind}.zip", "w") as archive:
            archive.writestr(f"{kind}.csv", text)
    return folder / "data"


def _refused(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, check that nothing came of it but a message, and return the message."""
    home = folder / "d"
    assert main([*arguments, "--home", str(home)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert not home.exists()
    return shown.err


def test_a_demonstration_when_the_folder_is_missing_names_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = _refused(folder, capsys, "--data", str(folder / "nowhere"), "--date", DAY)
    assert said.count("\n") == 1
    assert str(folder / "nowhere") in said
    assert "MARKET_DATA_DIR" in said


def test_a_demonstration_when_the_day_has_no_bars_names_the_days_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refused(folder, capsys, "--data", str(_record(folder)), "--date", "2013-10-09")
    assert said.count("\n") == 1
    assert "no minute bars of 2013-10-09" in said
    assert DAY in said


def test_a_demonstration_when_a_symbol_is_unknown_names_it_and_those_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refused(folder, capsys, "--data", str(_record(folder)), "--date", DAY, "--symbols", "SPY,NOPE")
    assert said.count("\n") == 1
    assert "NOPE" in said
    assert "It has SPY" in said


@pytest.mark.parametrize("kind", ["trade", "quote"])
def test_a_demonstration_when_a_zip_is_corrupt_names_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    data = _record(folder)
    path = data / "equity" / "usa" / "minute" / "spy" / f"20131008_{kind}.zip"
    path.write_bytes(path.read_bytes()[:40])
    said = _refused(folder, capsys, "--data", str(data), "--date", DAY)
    assert said.count("\n") == 1
    assert str(path) in said
    assert "cannot be read" in said


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("--seed", "seven", "MARKET_DATA_SEED"),
        ("--seed", "-1", "MARKET_DATA_SEED"),
        ("--speed", "fast", "MARKET_DATA_SPEED"),
        ("--symbols", "S P Y", "MARKET_DATA_SYMBOLS"),
        ("--date", "8.10.2013", "MARKET_DATA_DATE"),
        ("--date", "2013-13-45", "2013-13-45"),
        ("--date", "2013-10-06", "2013-10-06 is not a trading day"),
    ],
)
def test_a_demonstration_when_a_setting_is_malformed_names_it(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, key: str
) -> None:
    said = _refused(folder, capsys, f"{option}={value}")
    assert key in said


def test_a_demonstration_when_several_settings_are_malformed_names_all(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refused(folder, capsys, "--seed", "seven", "--speed", "fast")
    assert "2 fault" in said
    assert "MARKET_DATA_SEED" in said
    assert "MARKET_DATA_SPEED" in said


def test_a_demonstration_when_the_port_is_taken_names_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = _refused(folder, capsys, "--data", str(_record(folder)), "--date", DAY, "--port", str(port))
    assert f"Port {port}" in said


def test_a_demonstration_when_the_home_holds_something_else_says_so_and_touches_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = folder / "d" / "letter.txt"
    letter.parent.mkdir()
    letter.write_text("mine")
    assert main(["--data", str(_record(folder)), "--date", DAY, "--home", str(folder / "d")]) == 2
    shown = capsys.readouterr()
    assert "nothing was touched" in shown.err
    assert shown.out == ""
    assert [path.name for path in (folder / "d").iterdir()] == ["letter.txt"]
