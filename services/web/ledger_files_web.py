"""Files of the ledger for other programs: OFX, beancount, hledger, all reports as a page or as JSON.

The ledger's own program writes them, in a process of its own, into the output folder's `ledgers`; nothing else emits
OFX. The page keeps what was written there, and sends it.
"""

import re
from datetime import date
from typing import Final, Literal

from flask import Blueprint, Response, abort, make_response, render_template, request, send_file
from msgspec import Struct

from bus.clock import iso_utc, utc_ns
from services.web import security
from services.web.forms import Refusal
from services.web.short_process import Job, TooManyAtOnceError, run
from services.web.site import site


class FileKind(Struct, frozen=True, kw_only=True):
    """A file that the ledger's own program writes: its verb, its ending, and what it is for."""

    key: Literal["ofx", "ofx-bank", "ofx-investment", "html", "json", "beancount", "hledger"]
    title: str
    verb: tuple[str, ...]
    suffix: str
    text: str
    has_period: bool = True


FILES: Final = (
    FileKind(key="ofx", title="OFX 2.2, both statements", verb=("export-ofx",), suffix="ofx",
             text="For accounting software that reads bank and investment statements apart."),
    FileKind(key="ofx-bank", title="OFX 2.2, bank statement", verb=("export-ofx", "--view", "bank"), suffix="ofx",
             text="Cash alone."),
    FileKind(key="ofx-investment", title="OFX 2.2, investment statement",
             verb=("export-ofx", "--view", "investment"), suffix="ofx", text="Trades, positions and their list."),
    FileKind(key="html", title="All reports as one page", verb=("reports", "--format", "html"), suffix="html",
             text="To read and to print, with tax lots and wash sales."),
    FileKind(key="json", title="All reports as JSON", verb=("reports", "--format", "json"), suffix="json",
             text="The same for a program."),
    FileKind(key="beancount", title="beancount", verb=("export-beancount",), suffix="beancount",
             text="The whole ledger for the plain-text bookkeeper beancount.", has_period=False),
    FileKind(key="hledger", title="hledger", verb=("export-hledger",), suffix="journal",
             text="The whole ledger for the plain-text bookkeeper hledger.", has_period=False),
)  # fmt: skip
_EXPORT_S_MAX: Final = 120.0
_WORDS_MAX: Final = 400
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
pages = Blueprint("ledger_files", __name__, url_prefix="/books/files")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show what can be written."""
    return _page()


@pages.post("/<key>")
@security.require("export")
def export(key: str) -> Response:
    """Let the ledger's own program write one file, and send it."""
    kind = next((one for one in FILES if one.key == key), None)
    if kind is None:
        abort(404)
    here, days = site(), _days()
    if isinstance(days, Refusal):
        return _page(days)
    folder = here.paths.output / here.secrets().identity.bot_identity / "ledgers"
    stamp = iso_utc(utc_ns())[:19].replace("-", "").replace(":", "")
    path = folder / f"ledger_{kind.key}_{stamp}.{kind.suffix}"
    arguments = (*kind.verb, *(days if kind.has_period else ()), "--out", str(path))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        done = run(here.paths, Job(program="services.ledger", arguments=arguments, timeout_s=_EXPORT_S_MAX))
    except TooManyAtOnceError:
        busy = "Other exports and checks run at this moment. Wait until they have ended, then try again."
        return _page(Refusal(409, busy))
    except OSError as error:
        return _page(Refusal(503, f"Nothing could be written in {folder}: {error.strerror}."))
    if done.code != 0 or not path.is_file():
        words = (done.err or done.out).strip()[:_WORDS_MAX]
        return _page(Refusal(503, words or "The export did not end in time and was stopped."))
    here.audit.record("exported", path.name, after=" ".join(days) if kind.has_period else "everything")
    return make_response(send_file(path, as_attachment=True, download_name=path.name))


def _days() -> tuple[str, ...] | Refusal:
    """Return the period as the program's options, or what is wrong with it."""
    found: dict[str, str] = {}
    for option, name in (("--from", "from"), ("--to", "to")):
        text = request.form.get(name, "").strip()
        if not text:
            continue
        try:
            is_day = bool(_DAY.fullmatch(text)) and bool(date.fromisoformat(text))
        except ValueError:
            is_day = False
        if not is_day:
            return Refusal(422, f"'{text[:20]}' is not a day: write it as 2026-03-31. Nothing was written.")
        found[option] = text
    if len(found) == 2 and found["--from"] > found["--to"]:
        return Refusal(422, "The first day is after the last day: give the earlier day first. Nothing was written.")
    return tuple(word for pair in found.items() for word in pair)


def _page(refusal: Refusal | None = None) -> Response:
    page = render_template("ledger_files.html", files=FILES, fault=refusal.text if refusal else "", typed=request.form)
    return make_response(page, refusal.code if refusal else 200)
