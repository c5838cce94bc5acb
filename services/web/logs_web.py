"""Logs: what every service wrote, by service, level and text; followed, copied, downloaded; secrets masked."""

from typing import Any, Final

from flask import Blueprint, Response, abort, jsonify, make_response, render_template, request, stream_with_context

from services.web import security
from services.web.log_files import LEVELS, LogFile, Masker, listing, newest_lines, whole
from services.web.site import site

_TEXT_MAX: Final = 100
pages = Blueprint("logs", __name__, url_prefix="/logs")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show the newest lines; `file`, `level` and `text` are in the address."""
    files = _files()
    page = render_template(
        "logs.html", files=files.values(), levels=LEVELS, lines=_wanted(files), **_filter(files), size_words=_size_words
    )
    return make_response(page)


@pages.get("/lines")
@security.require("look")
def lines() -> Response:
    """Return the newest lines by the same filter, for the page that follows them."""
    return jsonify([[one.timestamp, one.level, one.service, one.logger, one.message] for one in _wanted(_files())])


@pages.get("/download")
@security.require("export")
def download() -> Response:
    """Send one whole file of the listing, masked."""
    file = _files().get(request.args.get("file", ""))
    if file is None:
        abort(404)
    site().audit.record("exported", f"log {file.file_id}")
    response = Response(stream_with_context(whole(file, _masker())), mimetype="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{file.file_id}.log"'
    return response


def _files() -> dict[str, LogFile]:
    here = site()
    return listing(here.paths.output / here.secrets().identity.bot_identity / "logs")


def _wanted(files: dict[str, LogFile]) -> Any:
    chosen = _filter(files)
    # Without a choice: what every service writes now.
    some = [files[chosen["file_id"]]] if chosen["file_id"] else [one for one in files.values() if one.rotation == 0]
    return newest_lines(some, _masker(), level=chosen["level"], text=chosen["text"])


def _filter(files: dict[str, LogFile]) -> dict[str, str]:
    file_id, level = request.args.get("file", ""), request.args.get("level", "")
    return {
        "file_id": file_id if file_id in files else "",
        "level": level if level in LEVELS else "",
        "text": request.args.get("text", "")[:_TEXT_MAX],
    }


def _masker() -> Masker:
    return Masker(site().secrets().credentials.values())


def _size_words(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{max(1, size // 1024)} KiB" if size else "empty"
