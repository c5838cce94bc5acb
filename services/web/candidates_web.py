"""Candidates: who is watched today, who is not, and by which rule; every name of the screener's list, paged."""

from typing import Any, Final, Literal

from flask import Blueprint, Response, make_response, render_template, request, url_for

from services.web import security
from services.web.candidate_lists import CandidateList, CandidateLists, ListError, ListId, Named, list_of
from services.web.frames import dollars
from services.web.site import site

NAMES_A_PAGE: Final = 100
Side = Literal["in", "out"]
pages = Blueprint("candidates", __name__)


@pages.get("/candidates")
@security.require("look")
def show() -> Response:
    """Show one list; `list`, `side`, `rule`, `symbol` and `page` are in the address."""
    here, fault, code = site(), "", 200
    lists = CandidateLists(here.paths.output / here.secrets().identity.bot_identity / "screener")
    offered = lists.offered()
    ids = [one.id for one in offered]
    wanted = request.args.get("list", "") or (ids[0] if ids else "")
    try:
        shown = lists.read(wanted)
    except ListError as error:
        shown, fault, code = None, str(error), 503
    heard = here.hub.candidates()
    is_heard = shown is None and heard is not None
    if is_heard and heard is not None:
        shown = list_of(heard)
    side: Side = "out" if request.args.get("side") == "out" else "in"
    rule, symbol = request.args.get("rule", "")[:96], request.args.get("symbol", "").strip().upper()[:24]
    found = _fitting(shown, side, rule, symbol) if shown else []
    pages_total = max(1, -(-len(found) // NAMES_A_PAGE))
    page = min(_page_number(), pages_total)
    query: dict[str, Any] = {
        "list": wanted if wanted in ids else None,
        "side": side,
        "rule": rule or None,
        "symbol": symbol or None,
    }
    html = render_template(
        "candidates.html",
        shown=shown,
        is_heard=is_heard,
        fault=fault,
        offered=offered,
        changes=_changes(lists, offered, wanted, shown),
        made_at=_clock(shown.made_at) if shown else "",
        list_id=wanted,
        side=side,
        rule=rule,
        symbol=symbol,
        rules=sorted(shown.failed_by_rule.items(), key=lambda item: (-item[1], item[0])) if shown else [],
        names=found[(page - 1) * NAMES_A_PAGE : page * NAMES_A_PAGE],
        total=len(found),
        page=page,
        pages=pages_total,
        page_url=lambda number: url_for("candidates.show", **query, page=number),
        dollars=dollars,
    )
    return make_response(html, code)


def _changes(
    lists: CandidateLists, offered: list[ListId], wanted: str, shown: CandidateList | None
) -> tuple[str, list[str], list[str]] | None:
    """Return the list of the same session before this one, in words, and who joined and who left since then."""
    place = next((at for at, one in enumerate(offered) if one.id == wanted), len(offered))
    before = offered[place + 1] if place + 1 < len(offered) else None
    if shown is None or before is None or not before.id.startswith(shown.session_date):
        return None
    try:
        older = lists.read(before.id)
    except ListError:
        return None
    if older is None:
        return None
    now, then = ({one.symbol for one in one_list.candidates} for one_list in (shown, older))
    return before.words, sorted(now - then), sorted(then - now)


def _clock(made_at: str) -> str:
    """Return the time of a list in UTC, to the second; empty where it is not known."""
    return f"{made_at[:10]} {made_at[11:19]} UTC" if len(made_at) >= 19 else ""


def _fitting(shown: CandidateList, side: Side, rule: str, symbol: str) -> list[Named]:
    names = shown.candidates if side == "in" else shown.rejected
    return [
        one
        for one in names
        if symbol in one.symbol and (not rule or side == "in" or any(failed.rule == rule for failed in one.failed))
    ]


def _page_number() -> int:
    text = request.args.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1
