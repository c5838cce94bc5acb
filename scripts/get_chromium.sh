#!/usr/bin/env bash
# Make sure there is a Chromium for the page tests: $CHROMIUM, Debian's, Playwright's own, or else install one.
set -euo pipefail
python=${1:?usage: get_chromium.sh PYTHON}
has_playwright() {
  "$python" - <<'PY'
import pathlib, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    sys.exit(not pathlib.Path(p.chromium.executable_path).exists())
PY
}
if [ -n "${CHROMIUM:-}" ] && [ -x "$CHROMIUM" ]; then exit 0; fi
for binary in /usr/lib/chromium/chromium /usr/bin/chromium; do
  if [ -x "$binary" ]; then exit 0; fi
done
if has_playwright; then exit 0; fi
echo "Getting a Chromium for the page tests"
if timeout 300 "$python" -m playwright install chromium >/dev/null 2>&1 && has_playwright; then exit 0; fi
if command -v apt-get >/dev/null 2>&1; then
  as_root=""
  if [ "$(id -u)" != 0 ]; then as_root="sudo"; fi
  $as_root apt-get update -qq
  $as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
  exit 0
fi
echo "No Chromium could be installed. Install one and set CHROMIUM to its binary." >&2
exit 1
