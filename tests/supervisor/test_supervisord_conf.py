"""What supervisord and systemd are told: closed to others, right about which ends are repeated, and in time."""

import shutil
import stat
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from bus.exit_codes import NOT_REPEATED
from bus.processes import ROOT, STOP_TIMEOUT_S, write_configuration
from bus.routes import SERVICES
from config.paths import HomePaths

TEMPLATE = ROOT / "supervisor" / "supervisord.conf"
UNIT = ROOT / "supervisor" / "tradebot.service"
#: What supervisord's child ends with when the program could not be executed.
CANNOT_EXECUTE = 127


def _parsed(path: Path) -> RawConfigParser:
    parser = RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


@pytest.fixture
def conf(tmp_path_factory: pytest.TempPathFactory) -> RawConfigParser:
    paths = HomePaths(tmp_path_factory.mktemp("h"))
    paths.make()
    return _parsed(write_configuration(paths))


def test_the_control_socket_is_a_unix_socket_for_its_owner_with_a_password(conf: RawConfigParser) -> None:
    assert "inet_http_server" not in conf
    server, client = conf["unix_http_server"], conf["supervisorctl"]
    assert server["chmod"] == "0700"
    assert "chown" not in server
    assert server["username"] == client["username"] == "tradebot"
    assert server["password"] == client["password"]
    assert len(server["password"]) >= 32
    assert client["serverurl"] == f"unix://{server['file']}"


def test_the_template_holds_no_password_and_includes_nothing() -> None:
    template = _parsed(TEMPLATE)
    assert template["unix_http_server"]["password"] == template["supervisorctl"]["password"] == "@PASSWORD@"
    assert "include" not in template
    assert "eventlistener" not in TEMPLATE.read_text(encoding="utf-8")


def test_no_secret_is_in_an_environment_or_on_a_command_line(conf: RawConfigParser) -> None:
    password = conf["unix_http_server"]["password"]
    holders = {(s, key) for s in conf.sections() for key, value in conf[s].items() if password in value}
    assert holders == {("unix_http_server", "password"), ("supervisorctl", "password")}


def test_memory_when_a_service_has_many_threads_then_they_share_two_heaps(conf: RawConfigParser) -> None:
    assert 'MALLOC_ARENA_MAX="2"' in conf["supervisord"]["environment"]


def test_memory_when_a_page_has_given_it_back_then_the_system_has_it(conf: RawConfigParser) -> None:
    for name in ("TRIM", "MMAP"):
        assert f'MALLOC_{name}_THRESHOLD_="131072"' in conf["program:web"]["environment"]


def test_files_when_made_by_supervisord_or_a_service_are_their_owners_alone(conf: RawConfigParser) -> None:
    assert conf["supervisord"]["umask"] == "077"
    assert {conf[f"program:{service}"]["umask"] for service in SERVICES} == {"077"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_program_is_repeated_after_a_crash_only_and_has_time_to_stop(conf: RawConfigParser, service: str) -> None:
    program = conf[f"program:{service}"]
    assert program["command"].endswith(f" -m bus.supervised {service}")
    assert program["autorestart"] == "unexpected"
    assert {int(code) for code in program["exitcodes"].split(",")} == {*NOT_REPEATED, CANNOT_EXECUTE}
    assert program["startsecs"] == "0", "with any other value supervisord repeats quick ends whatever their code"
    assert int(program["stopwaitsecs"]) >= (30 if service == "execution" else 10)
    assert "stopsignal" not in program
    assert "autostart" not in program


def test_services_start_from_the_books_upwards_and_stop_in_reverse(conf: RawConfigParser) -> None:
    order = sorted(SERVICES, key=lambda service: int(conf[f"program:{service}"]["priority"]))
    assert order[:3] == ["ledger", "execution", "risk"]
    assert conf["group:tradebot"]["programs"].split(",") == order


def test_whoever_stops_supervisord_waits_longer_than_it_waits_for_a_service(conf: RawConfigParser) -> None:
    longest = max(int(conf[f"program:{service}"]["stopwaitsecs"]) for service in SERVICES)
    assert longest + 10 <= STOP_TIMEOUT_S
    assert f"TimeoutStopSec={longest * 2}" in _unit()


# --- systemd -----------------------------------------------------------------------------------------------------


def _unit() -> list[str]:
    return UNIT.read_text(encoding="utf-8").splitlines()


def test_the_unit_runs_supervisord_from_a_configuration_that_it_writes_first() -> None:
    written = "/opt/tradebot/home/run/supervisord.conf"
    control = f"/opt/tradebot/.venv/bin/supervisorctl -c {written}"
    for line in (
        "Environment=TRADEBOT_HOME=/opt/tradebot/home TRADEBOT_WEB_PORT=8780",
        "EnvironmentFile=-/etc/tradebot.env",
        "ExecStartPre=/opt/tradebot/.venv/bin/python -m bus.processes --write",
        f"ExecStart=/opt/tradebot/.venv/bin/supervisord -n -c {written}",
        f"ExecStop=-{control} shutdown",
        f"ExecReload={control} restart tradebot:*",
        "KillMode=mixed",
        "Restart=on-failure",
        "UMask=0077",
        "NoNewPrivileges=true",
        "PrivateTmp=true",
    ):
        assert line in _unit(), line


def test_the_unit_lets_the_bot_write_its_home_alone_and_gain_no_right() -> None:
    lines = _unit()
    assert "ProtectSystem=strict" in lines
    writable = [line.split("=")[1].split() for line in lines if line.startswith("ReadWritePaths=")]
    # rclone keeps the tokens of a cloud store fresh in its own file.
    assert writable == [["/opt/tradebot/home", "-/opt/tradebot/.config/rclone"]]
    for line in (
        "CapabilityBoundingSet=",
        "RestrictSUIDSGID=true",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
    ):
        assert line in lines, line


def test_the_unit_when_systemd_reads_it_has_no_fault(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8").replace("/opt/tradebot", str(ROOT))
    unit = tmp_path / UNIT.name
    unit.write_text(text, encoding="utf-8")
    assert [line for line in text.splitlines() if line and not line.startswith(("#", "[")) and "=" not in line] == []
    verify = shutil.which("systemd-analyze")
    if verify:
        result = subprocess.run([verify, "verify", str(unit)], capture_output=True, text=True, check=False)
        # It also speaks of units that ours asks for, which are this machine's own.
        assert [line for line in (result.stdout + result.stderr).splitlines() if UNIT.name in line] == []


def test_the_configuration_when_written_is_readable_for_its_owner_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    paths = HomePaths(tmp_path_factory.mktemp("h"))
    paths.make()
    assert stat.S_IMODE(write_configuration(paths).stat().st_mode) == 0o600
