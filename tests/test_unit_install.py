"""`make install-unit`: the unit for the checkout it is called in, or a refusal in words."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNIT = "etc/systemd/system/tradebot.service"
#: Somebody who is not root: as root the checkout is given to him.
NOBODY = 65534


def _checkout(folder: Path) -> Path:
    """Return a folder with what the installer needs of a checkout that is set up."""
    for name in ("scripts/install_unit.sh", "supervisor/tradebot.service", "Makefile"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    program = folder / ".venv" / "bin" / "supervisord"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


def _install(checkout: Path, target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", "--no-print-directory", "-C", str(checkout), "install-unit", f"DESTDIR={target}", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _lines(unit: Path) -> list[str]:
    return [line for line in unit.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def test_unit_when_installed_then_has_the_folder_the_owner_and_the_home_of_the_checkout(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "bot")
    done = _install(checkout, tmp_path / "root")
    assert done.returncode == 0, done.stderr
    lines = _lines(tmp_path / "root" / UNIT)
    assert f"User={checkout.owner()}" in lines
    assert f"WorkingDirectory={checkout}" in lines
    assert f"Environment=TRADEBOT_HOME={checkout}/home TRADEBOT_WEB_PORT=8780" in lines
    assert f"ReadWritePaths={checkout}/home -{checkout}/.config/rclone" in lines
    assert f"ExecStart={checkout}/.venv/bin/supervisord -n -c {checkout}/home/run/supervisord.conf" in lines
    assert not [line for line in lines if "/opt/tradebot" in line], "a path of the template is left"
    home = checkout / "home"
    assert home.stat().st_mode & 0o777 == 0o700
    assert home.owner() == checkout.owner()
    assert not list((tmp_path / "root" / "etc/systemd/system").glob("*.new"))


def test_unit_when_installed_with_another_home_and_port_then_names_them_and_keeps_what_is_there(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "bot")
    home = tmp_path / "books"
    home.mkdir(mode=0o750)
    (home / "mine").write_text("x")
    done = _install(checkout, tmp_path / "root", f"HOME_DIR={home}", "PORT=8790")
    assert done.returncode == 0, done.stderr
    lines = _lines(tmp_path / "root" / UNIT)
    assert f"Environment=TRADEBOT_HOME={home} TRADEBOT_WEB_PORT=8790" in lines
    assert next(line for line in lines if line.startswith("ReadWritePaths=")).split()[0] == f"ReadWritePaths={home}"
    assert (home / "mine").read_text() == "x"


def test_unit_when_installed_again_then_is_the_newer_one(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "bot")
    assert _install(checkout, tmp_path / "root").returncode == 0
    template = checkout / "supervisor" / "tradebot.service"
    template.write_text(template.read_text().replace("RestartSec=5", "RestartSec=6"))
    assert _install(checkout, tmp_path / "root").returncode == 0
    assert "RestartSec=6" in _lines(tmp_path / "root" / UNIT)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("HOME_DIR=/srv/my books",), "has characters that mean something else"),
        (("HOME_DIR=/srv/100%",), "has characters that mean something else"),
        (("PORT=web",), 'The port is "web" and not a number'),
    ],
)
def test_unit_when_a_word_cannot_be_in_it_then_nothing_is_installed(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = _install(_checkout(tmp_path / "bot"), tmp_path / "root", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Nothing was installed" in done.stderr
    assert not (tmp_path / "root").exists()


def test_unit_when_nothing_is_set_up_then_says_who_has_to_do_it(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "bot")
    shutil.rmtree(checkout / ".venv")
    done = _install(checkout, tmp_path / "root")
    assert done.returncode == 2
    assert f"let {checkout.owner()} type `make setup` there first" in done.stderr


def test_unit_when_the_checkout_belongs_to_root_then_is_refused(tmp_path: Path) -> None:
    script = (ROOT / "scripts" / "install_unit.sh").read_text(encoding="utf-8")
    assert re.search(r'\[ "\$user" != root \]', script)
    if os.geteuid() == 0:
        checkout = _checkout(tmp_path / "bot")
        os.chown(checkout, 0, 0)
        done = _install(checkout, tmp_path / "root")
        assert done.returncode == 2
        assert "belongs to root, and the bot runs as its owner" in done.stderr
