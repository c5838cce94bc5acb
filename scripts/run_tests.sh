#!/usr/bin/env bash
# Run every test: those that start no chain on all cores, then the real chain and the real pages one at a time.
# usage: scripts/run_tests.sh PYTEST
set -euo pipefail
pytest=$1
# Unix sockets hang off the tests' folders, and their paths may have 103 bytes: a folder with a short name.
base=$(mktemp -d /tmp/tXXXXXX)
trap 'rm -rf "$base"' EXIT
failed=0
echo "1 of 2: the tests that start no chain, on all cores"
"$pytest" --numprocesses auto --dist loadfile --basetemp "$base/1" -m "not processes and not browser" || failed=1
echo "2 of 2: the real chain and the real pages, one at a time"
"$pytest" --basetemp "$base/2" -m "processes or browser" || failed=1
exit $failed
