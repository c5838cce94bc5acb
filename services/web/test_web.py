"""TEST_MODE: ask for a run, follow it, read what each routine showed or found, and take its logs.

The page only makes the flag `control/test_mode.flag` or takes it away: the watchdog decides and starts. What is shown
is the record that the run itself keeps.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from bus.test_mode import FLAG_FILE, Request, RunRecord, ask, log_of, newest_run, read_run, runs, runs_folder
from services.web import security
from services.web.forms import Refusal, given_reason, reason_refusal
from services.web.log_files import LINES_SHOWN, LogFile, Masker, whole
from services.web.site import site

TEST_WORD: Final = "TEST"
_BADGES: Final[dict[str, Literal["ok", "info", "warn", "bad"]]] = {
    "passed": "ok",
    "running": "info",
    "waiting": "info",
    "left out": "warn",
    "refused": "warn",
    "interrupted": "warn",
    "failed": "bad",
}
pages = Blueprint("test_mode", __name__, url_prefix="/test")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show the newest run, or the one that the address names; `log` names one of its logs to be shown with it."""
    return _page()


@pages.post("")
@security.require("control")
def start() -> AnyResponse:
    """Make the flag; the watchdog answers within a second, with a run or with why there is none."""
    refusal = _start_refusal()
    if refusal:
        return _page(refusal)
    wanted = Request(
        operator=security.current_user().name,
        reason=given_reason(),
        sends_letter=request.form.get("letter") == "yes",
        asks_broker=request.form.get("broker") == "yes",
    )
    try:
        ask(site().paths, wanted)
    except OSError as error:
        return _page(Refusal(503, f"The file control/{FLAG_FILE} cannot be written: {error.strerror}."))
    letter = ", with a letter to the people in the settings" if wanted.sends_letter else ""
    broker = ", with a question to the broker" if wanted.asks_broker else ""
    site().audit.record("test_mode_asked", f"run{letter}{broker}", after=wanted.reason)
    flash("A run was asked for. The watchdog begins it within a second, or says below why not.")
    return redirect(url_for("test_mode.show"), 303)


@pages.post("/stop")
@security.require("control")
def stop() -> AnyResponse:
    """Take the flag away: the watchdog ends the run."""
    try:
        _flag().unlink(missing_ok=True)
    except OSError as error:
        return _page(Refusal(503, f"The file control/{FLAG_FILE} cannot be taken away: {error.strerror}."))
    site().audit.record("test_mode_stopped", "run")
    flash("The run was told to end. It stops its own chain first.")
    return redirect(url_for("test_mode.show"), 303)


@pages.get("/progress")
@security.require("look")
def progress() -> Response:
    """Return the newest run, for the page that follows it."""
    record = newest_run(_folder())
    routines = record.routines if record else ()
    return jsonify(
        is_open=_is_open(record),
        run_id=record.run_id if record else "",
        routines=[
            [one.name, _BADGES[one.state], one.state, took_words(one.duration_ms), f"{one.words} {one.todo}".strip()]
            for one in routines
        ],
    )


@pages.get("/log")
@security.require("export")
def download() -> Response:
    """Send the log of one routine, masked."""
    run_id, name = request.args.get("run", ""), request.args.get("name", "")
    path = log_of(_folder(), run_id, name)
    if path is None:
        abort(404)
    site().audit.record("exported", f"log {run_id} {name}")
    response = Response(stream_with_context(_masked(path)), mimetype="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{run_id}_{name}"'
    return response


def _masked(path: Path) -> Iterator[str]:
    file = LogFile(file_id=path.name, service="test_mode", rotation=0, size=path.stat().st_size, path=path)
    return whole(file, Masker(site().secrets().credentials.values()))


def _shown_log(run_id: str) -> tuple[str, str]:
    """Return the name and the last lines of the log that the address names; both empty where there is none."""
    path = log_of(_folder(), run_id, request.args.get("log", ""))
    return (path.name, "".join(deque(_masked(path), LINES_SHOWN))) if path else ("", "")


def took_words(duration_ms: int) -> str:
    """Return a duration for people; empty where nothing was measured yet."""
    return f"{duration_ms / 1000:,.1f} s" if duration_ms else ""


def _start_refusal() -> Refusal | None:
    if request.form.get("word", "").strip() != TEST_WORD:
        return Refusal(400, f"Type the word {TEST_WORD} in capital letters to confirm. Nothing was started.")
    found = reason_refusal()
    if found:
        return found
    if _is_open(newest_run(_folder())):
        return Refusal(409, "A run is asked for or under way. Wait until it has ended. Nothing was started.")
    return None


def _is_open(record: RunRecord | None) -> bool:
    """Tell whether a run is under way or waits to be begun."""
    return _flag().exists() or (record is not None and record.state == "running")


def _flag() -> Path:
    return site().paths.control / FLAG_FILE


def _folder() -> Path:
    return runs_folder(site().paths, site().secrets().identity)


def _page(refusal: Refusal | None = None) -> Response:
    folder = _folder()
    newest, wanted = newest_run(folder), request.args.get("run", "")
    known = runs(folder)
    shown = read_run(folder, wanted) if wanted in known else newest
    log_name, log_text = _shown_log(shown.run_id if shown else "")
    page = render_template(
        "test_mode.html",
        log_name=log_name,
        log_text=log_text,
        lines_shown=LINES_SHOWN,
        fault=refusal.text if refusal else "",
        reason=given_reason(),
        word=TEST_WORD,
        by_hand=Request().operator,
        run=shown,
        older=[one for one in known if shown is None or one != shown.run_id],
        is_open=_is_open(newest),
        is_newest=shown is None or newest is None or shown.run_id == newest.run_id,
        badges=_BADGES,
        took_words=took_words,
        may_start=security.may("control"),
        may_export=security.may("export"),
    )
    return make_response(page, refusal.code if refusal else 200)
