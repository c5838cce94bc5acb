"""Servers to try things on: Debian 12 in folders, each booted under its own systemd, with a network between them.

Whoever uses them is in mount and network namespaces of its own (`unshare --mount --net`): that network is the desk, and
what is made here ends with it. The servers reach the internet by slirp4netns, so nothing of the machine's own network
is changed.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from server_typist import Typist

#: Programs, and the Debian packages that have them.
NEEDS: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "slirp4netns": "slirp4netns",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "git": "git",
}
_MIRROR: Final = "http://deb.debian.org/debian"
_SERVER_PACKAGES: Final = (
    "systemd-sysv,dbus,sudo,less,ca-certificates,openssh-server,openssh-client,iproute2,procps,curl"
)
_BUNDLE: Final = Path("etc/ssl/certs/ca-certificates.crt")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
_NETWORK: Final = "10.77.0"
_BOOT_S: Final = 90
_POLL_S: Final = 0.3
_GONE_S: Final = 20
_REBOOTS: Final = 133
_ADMIN: Final = "admin"


class ServerError(Exception):
    """A server could not be made or does not come up; the message says why."""


def run(*command: str, output: Path | None = None) -> None:
    """Run a program of this machine, and raise ServerError when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
    if output:
        output.write_text(done.stdout)
    if done.returncode:
        raise ServerError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout[-2000:]}")


def missing() -> list[str]:
    """Return the Debian packages that have to be installed first."""
    return sorted({package for program, package in NEEDS.items() if not shutil.which(program)})


def make_base(folder: Path) -> Path:
    """Return a Debian 12 as a provider hands it out: with an administrator who may use sudo, and sshd."""
    base = folder / "base"
    if (base / "etc" / "sudoers.d" / _ADMIN).exists():
        return base
    include = f"--include={_SERVER_PACKAGES}"
    run("debootstrap", "--variant=minbase", include, "bookworm", str(base), _MIRROR, output=folder / "debootstrap.log")
    _trust_what_this_machine_trusts(base)
    run("chroot", str(base), "useradd", "--create-home", "--shell", "/bin/bash", _ADMIN)
    key = folder / "key"
    if not key.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "desk", "-f", str(key))
    give_key(base, _ADMIN, f"/home/{_ADMIN}", key)
    (base / "etc/ssh/ssh_config.d/new_hosts.conf").write_text("StrictHostKeyChecking accept-new\n")
    hosts = "".join(f"{_NETWORK}.{10 + number} {name}\n" for number, name in enumerate(("server", "second")))
    (base / "etc/hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
    (base / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    (base / "etc" / "sudoers.d" / _ADMIN).write_text(f"{_ADMIN} ALL=(ALL) NOPASSWD: ALL\n")
    return base


def give_key(root: Path, user: str, home: str, key: Path) -> None:
    """Let whoever has the key log in as a user of a server."""
    folder = root / home.lstrip("/") / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "authorized_keys").write_bytes(key.with_suffix(".pub").read_bytes())
    run("chroot", str(root), "chown", "--recursive", f"{user}:{user}", f"{home}/.ssh")


def _trust_what_this_machine_trusts(root: Path) -> None:
    """Carry over authorities that a company has added to this machine, where its own proxy reads all traffic."""
    known = set(_CERTIFICATE.findall((root / _BUNDLE).read_text()))
    added = [one for one in _CERTIFICATE.findall(Path("/", _BUNDLE).read_text()) if one not in known]
    if not added:
        return
    for number, one in enumerate(added):
        (root / f"usr/local/share/ca-certificates/here-{number}.crt").write_text(one)
    run("chroot", str(root), "update-ca-certificates")
    # pip and npm have lists of their own, which know none of these.
    lines = "".join(f"export {name}=/{_BUNDLE}\n" for name in ("PIP_CERT", "NODE_EXTRA_CA_CERTS"))
    (root / "etc/profile.d/here.sh").write_text(lines)


def lay_desk() -> None:
    """Set up the network at the desk; servers are plugged into it."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "desk", "type", "bridge")
    run("ip", "addr", "add", f"{_NETWORK}.1/24", "dev", "desk")
    run("ip", "link", "set", "desk", "up")
    if not Path("/run/systemd/system").exists():
        # Without systemd /run may be on the disk, where nspawn removes nothing.
        Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", "/run/systemd/nspawn")


class Server:
    """One Debian, booted.

    Args:
        name: its host name.
        number: 0 or 1: which address it has.
        folder: where its root is and its console is written to.
        outside: a process whose network reaches the internet.
    """

    def __init__(self, name: str, number: int, folder: Path, outside: int) -> None:
        self.name, self.root = name, folder / name
        self.address = f"{_NETWORK}.{10 + number}"
        self._folder, self._number, self._outside = folder, number, outside
        self._processes: list[subprocess.Popen[bytes]] = []
        self._network = 0
        self._machine: subprocess.Popen[bytes] | None = None

    def copy_from(self, base: Path) -> None:
        """Make its root a copy of another one, as itself."""
        if self.root.exists():
            shutil.rmtree(self.root)
        run("cp", "--archive", "--reflink=auto", str(base), str(self.root))
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/machine-id").write_text("")

    def forget(self, *names: str) -> None:
        """Remove files and folders of its root while it is off."""
        for name in names:
            run("rm", "-rf", str(self.root / name))

    def boot(self) -> None:
        """Plug it in and switch it on; return when somebody can log in."""
        holder = self._start("unshare", "--net", "sleep", "infinity")
        inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        _await_network(holder.pid)
        wire = f"wire{self._number}"
        run("ip", "link", "add", wire, "type", "veth", "peer", "name", "lan0", "netns", str(holder.pid))
        run("ip", "link", "set", wire, "master", "desk", "up")
        run(*inside, "ip", "addr", "add", f"{self.address}/24", "dev", "lan0")
        run(*inside, "ip", "link", "set", "lan0", "up")
        slirp = ("slirp4netns", "--configure", "--disable-host-loopback", str(holder.pid), "tap0")
        self._start("nsenter", f"--net=/proc/{self._outside}/ns/net", *slirp)
        self._network = holder.pid
        self._machine = self._switch_on()
        self.await_login()

    def await_login(self) -> None:
        """Wait until sshd answers.

        Raises:
            ServerError: it does not, in a minute and a half.
        """
        end = time.monotonic() + _BOOT_S
        while True:
            try:
                with socket.create_connection((self.address, 22), timeout=2) as line:
                    line.settimeout(2)
                    if line.recv(4) == b"SSH-":
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                raise ServerError(f"{self.name} does not come up; its console is in {self._console()}.")
            time.sleep(_POLL_S)

    def await_reboot(self) -> None:
        """Wait until it has gone down and somebody can log in again.

        Raises:
            ServerError: one of both does not come, in a minute and a half.
        """
        self._await_down()
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Where nspawn does not start it again itself, it says by its exit code that it is to be.
            if self._machine and self._machine.wait(_GONE_S) == _REBOOTS:
                self._machine = self._switch_on()
        self.await_login()

    def _await_down(self) -> None:
        end = time.monotonic() + _BOOT_S
        while time.monotonic() < end:
            try:
                socket.create_connection((self.address, 22), timeout=1).close()
            except OSError:
                return
            time.sleep(_POLL_S)
        raise ServerError(f"{self.name} does not go down; its console is in {self._console()}.")

    def terminal(self) -> Typist:
        """Log in as its administrator."""
        return Typist(["ssh", "-tt", *self.ssh_options(), f"{_ADMIN}@{self.address}"], f"{_ADMIN}@{self.name}")

    def ssh_options(self) -> list[str]:
        """Return what ssh has to be told at the desk: which key, and that nobody knows these servers."""
        nobody = f"UserKnownHostsFile={self._folder / 'known_hosts'}"
        return ["-i", str(self._folder / "key"), "-o", "StrictHostKeyChecking=accept-new", "-o", nobody]

    def switch_off(self) -> None:
        """Switch it off in order, and end what was started for it."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(_BOOT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _console(self) -> Path:
        return self._folder / f"{self.name}.console"

    def _switch_on(self) -> subprocess.Popen[bytes]:
        apart = () if Path("/run/systemd/system").exists() else ("--keep-unit",)
        return self._start(
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", *apart, "--resolv-conf=off", "--timezone=off"),
            *(f"--directory={self.root}", f"--network-namespace-path=/proc/{self._network}/ns/net", "--console=pipe"),
        )

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with self._console().open("ab") as console:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)  # noqa: S603
        self._processes.append(process)
        return process


def _await_network(pid: int) -> None:
    """Wait until a process has a network of its own."""
    here = os.readlink("/proc/self/ns/net")
    end = time.monotonic() + _BOOT_S
    while os.readlink(f"/proc/{pid}/ns/net") == here:
        if time.monotonic() > end:
            raise ServerError("No network namespace can be made here.")
        time.sleep(_POLL_S / 10)
