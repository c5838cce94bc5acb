"""Whether the time of a refused log-in tells who may log in: unknown, wrong password, disabled, second factor missing.

    python bench/login_bench.py [--tries 40]

Each kind is tried in turn, through the whole application with hashes of the real cost. Other work on the machine only
adds to a time, so the quickest quarter of the tries of each kind is compared. The exit code is 1 when the medians of
two of these are further apart than the limit.
"""

import argparse
import logging
import os
import re
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from flask.testing import FlaskClient

from bus.clock import boot_ns
from bus.keys import make_pairs
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HomePaths
from config.users import User, hash_password
from config.vault import Secrets, Vault
from services.web.app import create_app
from services.web.hub import StatusHub

#: ASVS 5.0, 6.3.8, asks that the difference tells nothing; this much is lost in a network.
APART_MS_MAX: Final = 20.0
PASSWORD: Final = "one long bench word"
_UNAUTHORIZED: Final = 401
_TOKEN: Final = re.compile(r'name="csrf_token" value="([^"]+)"')
#: What is tried, by its name: user and password.
KINDS: Final = {
    "unknown user": ("nobody", "another long word"),
    "wrong password": ("anna", "another long word"),
    "disabled user, right password": ("dora", PASSWORD),
    "right password, no code": ("tora", PASSWORD),
}


def prepare(paths: HomePaths) -> None:
    """Make a home with a user of each kind."""
    paths.make()
    stored = hash_password(PASSWORD)
    people = (
        User(name="anna", password_hash=stored, role="admin"),
        User(name="dora", password_hash=stored, role="viewer", is_active=False),
        User(name="tora", password_hash=stored, role="viewer", totp_secret="JBSWY3DPEHPK3PXP"),
    )
    identity = Identity(
        entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings=proposals(),
            identity=identity,
            users=people,
            credentials={"web_session_key": "k" * 64},
            coa={},
            curve=make_pairs(),
        )
    )


def refused_ms(client: FlaskClient, name: str, password: str, address: str) -> float:
    """Return how long one refused log-in took."""
    found = _TOKEN.search(client.get("/login").text)
    fields = {"csrf_token": found[1] if found else "", "name": name, "password": password}
    begin = boot_ns()
    answer = client.post("/login", data=fields, environ_base={"REMOTE_ADDR": address})
    if answer.status_code != _UNAUTHORIZED:
        raise SystemExit(f"a log-in that had to be refused was answered {answer.status_code}")
    return (boot_ns() - begin) / 1_000_000


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=40)
    tries = parser.parse_args().tries
    logging.disable(logging.WARNING)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with TemporaryDirectory() as folder:
        paths = HomePaths(Path(folder) / "home")
        prepare(paths)
        client = create_app(paths, StatusHub()).test_client()
        for number in range(tries + 1):
            kinds = [*KINDS.items()]
            # Another one begins each round, so that none is always first after a pause.
            for kind, (name, password) in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
                # Every try from an address of its own: five from the same one are locked, and cost no hash.
                took = refused_ms(client, name, password, f"127.0.{number // 250}.{number % 250 + 1}")
                if number:
                    times[kind].append(took)
    medians = {kind: median(sorted(found)[: max(1, tries // 4)]) for kind, found in times.items()}
    apart = max(medians.values()) - min(medians.values())
    for kind, found in medians.items():
        sys.stdout.write(f"{kind:32} {found:7.1f} ms (all of them: {median(times[kind]):.1f} ms)\n")
    sys.stdout.write(f"furthest apart {apart:.1f} ms, limit {APART_MS_MAX:.0f} ms; load {os.getloadavg()[0]:.1f}\n")
    return int(apart > APART_MS_MAX)


if __name__ == "__main__":
    raise SystemExit(main())
