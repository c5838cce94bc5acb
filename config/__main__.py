"""`python -m config doctor`: examine this checkout and the home, and say what to do. `--json` for programs."""

import argparse
import sys

import msgspec

from config.doctor import examine
from config.paths import home_paths

_SIGNS = {"ok": "ok  ", "warn": "WARN", "bad": "BAD "}


def main(arguments: list[str]) -> int:
    """Print every finding; return 0, or 1 when something is bad."""
    parser = argparse.ArgumentParser(prog="python -m config", description="Look after the bot's home.")
    verbs = parser.add_subparsers(required=True)
    doctor = verbs.add_parser("doctor", help="look at everything an operator would be asked about first")
    doctor.add_argument("--offline", action="store_true", help="ask nobody on the network")
    doctor.add_argument("--json", action="store_true", help="one line of JSON for each finding")
    options = parser.parse_args(arguments)
    is_bad = False
    for finding in examine(home_paths(), is_offline=options.offline):
        is_bad = is_bad or finding.verdict == "bad"
        if options.json:
            sys.stdout.write(msgspec.json.encode(finding).decode() + "\n")
        else:
            todo = f"\n                     do: {finding.todo}" if finding.todo else ""
            sys.stdout.write(f"{_SIGNS[finding.verdict]} {finding.what:<15} {finding.words}{todo}\n")
        sys.stdout.flush()
    return 1 if is_bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
