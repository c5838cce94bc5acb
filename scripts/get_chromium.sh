#!/usr/bin/env bash
# Make sure there is a Chromium for the page tests: $CHROMIUM, Debian's, Playwright's own, or else install one.
set -euo pipefail
python=${1:?usage: get_chromium.sh PYTHON}
starts() {
  "$python" - <<'PY'
import sys
from playwright.sync_api import Error, sync_playwright
with sync_playwright() as p:
    try:
        p.chromium.launch(args=["--no-sandbox"]).close()
    except Error:
        sys.exit(1)
PY
}
if [ -n "${CHROMIUM:-}" ] && [ -x "$CHROMIUM" ]; then exit 0; fi
if [ -x /usr/lib/chromium/chromium ]; then exit 0; fi
if starts; then exit 0; fi
echo "Getting a Chromium for the page tests"
limit=""
if command -v timeout >/dev/null 2>&1; then limit="timeout 300"; fi
as_root=""
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null 2>&1; then as_root="sudo"; fi
if $limit "$python" -m playwright install chromium >/dev/null 2>&1; then
  if starts; then exit 0; fi
  # The browser is there and its system libraries are not.
  if $as_root "$python" -m playwright install-deps chromium >/dev/null 2>&1 && starts; then exit 0; fi
fi
if command -v apt-get >/dev/null 2>&1; then
  $as_root apt-get update -qq
  $as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
  if [ -x /usr/lib/chromium/chromium ]; then exit 0; fi
fi
echo "No Chromium could be installed. Install one and set CHROMIUM to its binary." >&2
exit 1
