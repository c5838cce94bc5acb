"""Do what docs/deploy.md says, on servers of its own: `sudo .venv/bin/python scripts/try_server.py FOLDER`.

Two Debian 12 are made by debootstrap in FOLDER (3 GB; it can be removed afterwards) and booted under systemd, with a
network between them and a desk from which a person works. Every block of the page marked `console` is typed as it
stands, by whom the page says, and what has to follow is looked at: services under the unit, restarts, a kill, a reboot,
an upgrade and the way back on a home with books, and a second host. What is typed and what is answered goes to the
output: that is the transcript. It ends with 1 at the first command that fails, and says which.

It needs Linux, root, and a few packages that it names when they are missing. What is pushed nowhere can be tried: the
servers clone this checkout's last commit, and the version they are upgraded to is that commit with one more on top.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from playwright.sync_api import Error
from server_desk import Desk
from server_page import Page
from server_roots import Server, ServerError, give_key, lay_desk, make_base, missing, run
from server_typist import TypingError, Typist

ROOT: Final = Path(__file__).resolve().parent.parent
NEXT_VERSION: Final = "v0.6.0"
_SESSION_SPEED: Final = "400"
_KEYS_PASSPHRASE: Final = "four words between two hosts"  # noqa: S105 - of servers that live for an hour
_CTL: Final = ".venv/bin/supervisorctl -c home/run/supervisord.conf"
_SERVICES: Final = 8
_SECOND_SERVICES: Final = 2
#: What a server has of the bot beside the checkout.
_OF_THE_BOT: Final = (
    "opt/tradebot/home",
    "opt/tradebot/home-demo",
    "etc/systemd/system/tradebot.service",
    "etc/systemd/system/multi-user.target.wants/tradebot.service",
)
_POLL_S: Final = 1
_WAIT_S: Final = 240
_TEST_MODE_S: Final = 900


class Scene:
    """Everything that is typed, in the order of the page.

    Args:
        folder: where the servers lie.
        outside: a process whose network reaches the internet.
        page: the page's blocks.
        closing: what is switched off at the end.
    """

    def __init__(self, folder: Path, outside: int, page: Page, closing: ExitStack) -> None:
        self._folder, self._page, self._closing = folder, page, closing
        self._tunnel = closing.enter_context(ExitStack())
        self.first = Server("server", 0, folder, outside)
        self.second = Server("second", 1, folder, outside)

    # --- what is there before ----------------------------------------------------------------------------------------

    def prepare(self, *, is_installed: bool) -> None:
        """Make a base system, and the repository that the page's address leads to, without the next version."""
        srv = self.first.root / "srv" / "tradebot.git"
        if is_installed:
            self.first.forget(*_OF_THE_BOT, "srv/tradebot.git")
        else:
            self.first.copy_from(make_base(self._folder))
            here = '[url "file:///srv/tradebot.git"]\n\tinsteadOf = https://example.org/tradebot.git\n'
            (self.first.root / "etc/gitconfig").write_text(here + "[safe]\n\tdirectory = *\n")
        run("git", "clone", "--quiet", "--bare", str(ROOT), str(srv))
        work = self._folder / "next"
        run("rm", "-rf", str(work))
        run("git", "clone", "--quiet", str(srv), str(work))
        with (work / "bus" / "build.py").open("a") as file:
            file.write(f"\n# {NEXT_VERSION}, made to be upgraded to.\n")
        person = ("-c", "user.name=desk", "-c", "user.email=desk@localhost")
        run("git", "-C", str(work), *person, "commit", "--quiet", "--all", "--message", "Next version")
        run("git", "-C", str(work), "tag", NEXT_VERSION)
        if is_installed:
            there = ("chroot", str(self.first.root), "runuser", "-u", "tradebot", "--", "git", "-C", "/opt/tradebot")
            run(*there, "fetch", "--quiet", "--prune", "--prune-tags")
            run(*there, "checkout", "--quiet", "--detach", "origin/HEAD")

    def publish(self) -> None:
        """Let the next version appear in the repository."""
        srv = self.first.root / "srv" / "tradebot.git"
        tag = f"refs/tags/{NEXT_VERSION}"
        run("git", "-C", str(srv), "fetch", "--quiet", str(self._folder / "next"), f"{tag}:{tag}")

    # --- from nothing to a service -----------------------------------------------------------------------------------

    def install(self, *, with_demo: bool) -> None:
        """Sections 1 to 4: packages, user, checkout, demonstration, the chain by hand."""
        self._say("A fresh Debian 12, booted: sections 1 to 4")
        shell = self.first.terminal()
        self._type(shell, "1. Packages", 0)
        self._type(shell, "2. A user and the checkout", 0)
        shell.type("pwd")
        self._type(shell, "2. A user and the checkout", 1)
        if with_demo:
            self._type(shell, "3. See it work, before any account", 0)
        (make_run,) = self._page.lines("4. Start the chain", 0)
        shell.start(make_run, r"token +[0-9a-f]+")
        shell.interrupt()
        self._type(shell, "4. Start the chain", 1)
        self._await_services(shell, _SERVICES)
        self._type(shell, "Take it away again", 0)
        shell.type("exit")
        shell.close()

    def serve(self) -> None:
        """Section 4, the unit: installed, verified, enabled, started."""
        self._say("As a service of systemd")
        admin = self.first.terminal()
        self._type(admin, "4. Start the chain", 2)
        admin.type("systemctl is-enabled tradebot && systemctl is-active tradebot")
        admin.close()

    def configure(self) -> Desk:
        """Section 5: the tunnel, the token, the pages; and 6: a session with trades."""
        self._say("At the desk: the tunnel, the first pages, the first session")
        bot = self._bot(self.first)
        (token_line, doctor_line) = self._page.lines("5. Configure it", 1), self._page.lines("5. Configure it", 2)
        said = bot.type(token_line[0]).text
        token = re.findall(r"\b[0-9a-f]{32}\b", said)[0]
        self._open_tunnel()
        desk = Desk("http://127.0.0.1:8780", self._closing)
        desk.configure(token, {"MARKET_DATA_SPEED": _SESSION_SPEED})
        desk.protect_archives()
        for line in doctor_line:
            bot.type(line)
        # The new passphrase and settings are taken at a start.
        self._root("systemctl restart tradebot")
        desk.log_in()
        desk.arm()
        self._eventually(lambda: self._status(bot)["bot_state"] == "CLOSED", "the session is over", 600)
        self._eventually(lambda: ".age" in bot.look("ls home/backups").text, "an archive is there")
        bot.type("ls home/output/*/summaries home/output/*/trades")
        bot.type("TRADEBOT_HOME=home .venv/bin/python -m services.ledger verify")
        for line in desk.going_live():
            sys.stdout.write(f"  going live: {line}\n")
        bot.close()
        return desk

    # --- under systemd -----------------------------------------------------------------------------------------------

    def supervise(self, desk: Desk) -> None:
        """Start, stop, restart, reload, status; kills; a reboot: through systemctl and supervisorctl."""
        self._say("systemctl and supervisorctl")
        admin, bot = self.first.terminal(), self._bot(self.first)
        for line in ("restart", "stop", "start", "reload"):
            admin.type(f"sudo systemctl {line} tradebot")
            admin.type("systemctl is-active tradebot", may_fail=line == "stop")
        self._await_services(bot, _SERVICES)
        for verb in ("stop", "start", "restart"):
            bot.type(f"{_CTL} {verb} tradebot:risk")
            bot.type(f"{_CTL} status tradebot:risk", may_fail=True)
        for verb in ("stop", "start", "restart"):
            bot.type(f"{_CTL} {verb} 'tradebot:*'")
        self._await_services(bot, _SERVICES)
        self._say("A service, then supervisord itself, is killed")
        desk.log_in()
        desk.arm()
        bot.type(f"kill -9 $({_CTL} pid tradebot:risk)")
        self._await_services(bot, _SERVICES)
        self._expect_unarmed(bot)
        admin.type("sudo kill -9 $(systemctl show --property MainPID --value tradebot)")
        self._eventually(lambda: self._is_active(admin), "systemd starts the chain again")
        self._await_services(bot, _SERVICES)
        self._expect_unarmed(bot)
        admin.type("sudo journalctl --unit tradebot --no-pager | tail -25")
        admin.close()
        bot.close()

    def confine(self) -> None:
        """Show that what runs under the unit can write its home, and nothing else."""
        self._say("What the unit lets the bot do")
        admin = self.first.terminal()
        inside = (
            "sudo nsenter --target $(systemctl show --property MainPID --value tradebot) --mount runuser -u tradebot --"
        )
        admin.type(f"{inside} touch /opt/tradebot/home/written && sudo rm /opt/tradebot/home/written")
        for place in ("/opt/tradebot/bus/written", "/etc/written", "/var/lib/written", "/opt/tradebot/.venv/written"):
            if admin.type(f"{inside} touch {place}", may_fail=True).status == 0:
                raise ServerError(f"The unit lets the bot write {place}.")
        admin.type("systemd-analyze security tradebot --no-pager | tail -1")
        admin.type(
            "grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/$(systemctl show --property MainPID --value tradebot)/status"
        )
        admin.close()

    def reboot(self) -> None:
        """Reboot the machine: the chain comes back by itself, and unarmed."""
        self._say("A reboot, with an armed chain")
        admin = self.first.terminal()
        admin.start("sudo systemctl reboot", "", 10)
        self.first.await_reboot()
        admin.close()
        self._open_tunnel()
        admin, bot = self.first.terminal(), self._bot(self.first)
        self._eventually(lambda: self._is_active(admin), "the unit is up")
        self._await_services(bot, _SERVICES)
        self._expect_unarmed(bot)
        admin.type("systemctl status tradebot --no-pager | head -12")
        admin.close()
        bot.close()

    def self_test(self) -> None:
        """Have a run of TEST_MODE under the unit: what it needs, the unit must allow."""
        self._say("A run of TEST_MODE under the unit")
        bot = self._bot(self.first)
        bot.type("touch home/control/test_mode.flag")
        self._eventually(lambda: self._is_gone(bot, "home/control/test_mode.flag"), "the run ends", _TEST_MODE_S)
        if not self._is_gone(bot, "home/control/test_mode_refused.txt"):
            raise ServerError(bot.type("cat home/control/test_mode_refused.txt").text)
        said = bot.type("cat $(ls -d home/output/*/test_mode/*/run.json | tail -1)").text
        routines = json.loads(said)["routines"]
        failed = [line["name"] for line in routines if line["state"] != "passed"]
        if failed or not routines:
            raise ServerError(f"These routines of TEST_MODE have not passed: {failed or 'there is none'}.")
        bot.close()

    # --- another version ---------------------------------------------------------------------------------------------

    def upgrade(self) -> None:
        """Go to the next version and back, on the home that has traded."""
        self._say("Upgrade")
        self.publish()
        admin = self.first.terminal()
        before = self._books()
        self._type(admin, "Upgrade and roll back", 0)
        self._up(admin)
        self._say("Roll back")
        self._type(admin, "Upgrade and roll back", 1)
        self._up(admin)
        if self._books() != before:
            raise ServerError("The books are not what they were before the upgrade.")
        admin.close()

    # --- two hosts ---------------------------------------------------------------------------------------------------

    def divide(self, desk: Desk) -> None:
        """Move screener and strategies to a second host."""
        self._say("Two hosts")
        self._root("systemctl restart tradebot")
        desk.log_in()
        addresses = {"BUS_TCP_HOST": self.first.address, "BUS_TCP_SECOND_HOST": self.second.address}
        desk.change({"BUS_TRANSPORT": "tcp", **addresses})
        self._make_second()
        admin = self.first.terminal()
        self._type(admin, "Two hosts", 0)
        other = self.second.terminal()
        self._type(other, "Two hosts", 1)
        admin.type("sudo systemctl start tradebot")
        bot, far = self._bot(self.first), self._bot(self.second)
        self._await_services(bot, _SERVICES - _SECOND_SERVICES)
        self._await_services(far, _SECOND_SERVICES)
        desk.log_in()
        desk.arm()
        sys.stdout.write(f"  the dashboard says {desk.state()}\n")
        for shell in (admin, other, bot, far):
            shell.close()

    def _make_second(self) -> None:
        """Have a second host that was set up as the first one: its copy, without the home and the names."""
        for name in ("etc", "usr", "opt", "home", "var", "srv", "root"):
            (self.second.root / name).mkdir(parents=True, exist_ok=True)
        run("cp", "--archive", "--reflink=auto", f"{self.first.root}/.", str(self.second.root))
        self.second.forget(*_OF_THE_BOT)
        (self.second.root / "etc/hostname").write_text("second\n")
        (self.second.root / "etc/machine-id").write_text("")
        key = self._folder / "bot_key"
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tradebot", "-f", str(key))
        for root in (self.first.root, self.second.root):
            give_key(root, "tradebot", "/opt/tradebot", key)
        own = self.first.root / "opt/tradebot/.ssh/id_ed25519"
        own.write_bytes(key.read_bytes())
        own.chmod(0o600)
        run("chroot", str(self.first.root), "chown", "tradebot:tradebot", "/opt/tradebot/.ssh/id_ed25519")
        self._closing.callback(self.second.switch_off)
        self.second.boot()

    # --- parts -------------------------------------------------------------------------------------------------------

    def _type(self, shell: Typist, heading: str, number: int) -> None:
        for line in self._page.lines(heading, number):
            is_asked = "bus.second_host" in line
            shell.type(line, answers=[("Passphrase of the file: ", _KEYS_PASSPHRASE)] if is_asked else [])

    def _bot(self, server: Server) -> Typist:
        shell = server.terminal()
        shell.type("sudo -iu tradebot")
        return shell

    def _root(self, line: str) -> None:
        admin = self.first.terminal()
        admin.type(f"sudo {line}")
        admin.close()

    def _open_tunnel(self) -> None:
        """Open the page's tunnel, anew where there was one; `server` has the address that the desk knows."""
        self._tunnel.close()
        (line,) = self._page.lines("5. Configure it", 0)
        configuration = self._folder / "ssh_config"
        known = " ".join(self.first.ssh_options()[1::2]).split()
        configuration.write_text(
            f"Host server\n  HostName {self.first.address}\n  User admin\n  IdentityFile {known[0]}\n"
            f"  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {self._folder / 'known_hosts'}\n"
        )
        tunnel = Typist(["env", "PS1=you@desk:~$ ", "bash", "--norc", "-i"], "you@desk")
        tunnel.type(f'ssh() {{ command ssh -F {configuration} "$@"; }}')
        tunnel.start(line, r"\$ $", 60)
        self._tunnel.callback(tunnel.close)

    def _up(self, admin: Typist) -> None:
        bot = self._bot(self.first)
        self._eventually(lambda: self._is_active(admin), "the unit is up")
        self._await_services(bot, _SERVICES)
        bot.type("git describe --tags --always")
        bot.type("TRADEBOT_HOME=home .venv/bin/python -m services.ledger verify")
        self._expect_unarmed(bot)
        bot.close()

    def _books(self) -> list[str]:
        bot = self._bot(self.first)
        said = bot.type("TRADEBOT_HOME=home .venv/bin/python -m services.ledger verify").text
        bot.close()
        return re.findall(r"\d+ entries", said)

    def _status(self, bot: Typist) -> dict[str, str]:
        found = bot.look("cat home/output/status.json").text
        try:
            return dict(json.loads(found))
        except ValueError:
            return {"bot_state": "", "state": ""}

    def _await_services(self, bot: Typist, count: int) -> None:
        self._eventually(lambda: self._running(bot) == count, f"{count} services run")
        bot.type(f"{_CTL} status")

    def _expect_unarmed(self, bot: Typist) -> None:
        self._eventually(lambda: self._status(bot)["state"] in ("DISARMED", "HALTED"), "the chain is not armed")
        bot.type(
            'grep --only-matching --extended-regexp \'"(state|bot_state|detail)":"[^"]*"\' home/output/status.json'
        )

    @staticmethod
    def _is_active(admin: Typist) -> bool:
        return admin.look("systemctl is-active tradebot").status == 0

    @staticmethod
    def _is_gone(bot: Typist, path: str) -> bool:
        return bot.look(f"test ! -e {path}").status == 0

    @staticmethod
    def _running(bot: Typist) -> int:
        return bot.look(f"{_CTL} status").text.count(" RUNNING ")

    @staticmethod
    def _eventually(holds: Callable[[], bool], what: str, timeout_s: float = _WAIT_S) -> None:
        end = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > end:
                raise ServerError(f"After {timeout_s:g} s it is not so that {what}.")
            time.sleep(_POLL_S)

    @staticmethod
    def _say(words: str) -> None:
        sys.stdout.write(f"\n{'=' * 100}\n{words}\n{'=' * 100}\n")
        sys.stdout.flush()


def type_page(folder: Path, outside: int, *, with_demo: bool, is_installed: bool) -> None:
    """Type everything, in the namespaces of its own."""
    page = Page()
    with ExitStack() as closing:
        scene = Scene(folder, outside, page, closing)
        lay_desk()
        scene.prepare(is_installed=is_installed)
        closing.callback(scene.first.switch_off)
        scene.first.boot()
        if not is_installed:
            scene.install(with_demo=with_demo)
        scene.serve()
        desk = scene.configure()
        scene.supervise(desk)
        scene.confine()
        desk.log_in()
        desk.arm()
        scene.reboot()
        scene.self_test()
        scene.upgrade()
        scene.divide(desk)
    if not is_installed:
        page.check_all_typed()
    sys.stdout.write("\nEvery command of the page worked.\n")


def main(arguments: list[str]) -> int:
    """Look whether it can be done here, do it apart from this machine's network and mounts, and say how it went."""
    parser = argparse.ArgumentParser(description="Type the commands of docs/deploy.md on servers of its own.")
    parser.add_argument(
        "folder", type=Path, help="where the servers are made: an empty folder on a disk with 8 GB free"
    )
    parser.add_argument("--without-demo", action="store_true", help="leave the demonstration out")
    parser.add_argument("--installed", action="store_true", help="go on from section 4 with the server of another run")
    parser.add_argument("--outside", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        sys.stderr.write("Servers are booted by root alone: use sudo.\n")
        return 2
    if lacking := missing():
        sys.stderr.write(f"Install what is missing first: apt-get install --yes {' '.join(lacking)}\n")
        return 2
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if options.outside is None:
        make_base(folder)
        again = [sys.executable, __file__, *arguments, "--outside", str(os.getpid())]
        return subprocess.run(["unshare", "--mount", "--net", *again], check=False).returncode  # noqa: S603,S607
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        type_page(folder, options.outside, with_demo=not options.without_demo, is_installed=options.installed)
    except (ServerError, TypingError, Error) as error:
        sys.stdout.write(f"\nFailed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
