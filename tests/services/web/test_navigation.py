"""The navigation offers what the role may open and nothing else; pages say where they stand and in which zone."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from config.paths import HomePaths
from services.web import navigation, security
from services.web.app import create_app
from services.web.hub import StatusHub
from services.web.times import ZONES, time_text, zone_of

OPEN_MS = 1_741_786_200_000


def links_of(text: str) -> set[str]:
    nav = text.partition('<nav class="side"')[2].partition("</nav>")[0]
    return set(re.findall(r'href="([^"]+)"', nav))


def test_table_when_read_then_every_page_is_a_view_with_a_permission_and_stands_once(app: Flask) -> None:
    endpoints = [name for page in navigation.PAGES for name in (page.endpoint, *page.forms)]
    assert len(endpoints) == len(set(endpoints))
    for page in navigation.PAGES:
        assert security.permission_of(app, page.endpoint) not in {None, "public", "bootstrap"}, page.endpoint
        assert not page.parent or navigation.page_of(page.parent), page.endpoint
        for form in page.forms:
            assert security.permission_of(app, form), form


@pytest.mark.parametrize("name", ["vera", "olga", "adam"])
def test_navigation_when_shown_then_each_link_opens_for_that_role(
    name: str, app: Flask, person_of: Callable[..., Any]
) -> None:
    person = person_of(name)
    offered = links_of(person.get("/").text)
    assert offered
    # Nobody answers for the books here, and their pages say so; files are written by a process of their own.
    is_asked = {link: link.startswith("/books/") and link != "/books/files" for link in offered}
    opens = {link: 503 if asked else 200 for link, asked in is_asked.items()}
    assert {link: person.get(link).status_code for link in offered} == opens
    # What is not offered is refused: the role lacks its permission.
    with app.test_request_context():
        shown = [page for page in navigation.PAGES if not page.parent]
        addresses = {app.url_for(page.endpoint): page.endpoint for page in shown}
    for address in set(addresses) - offered:
        assert person.get(address).status_code == 403, address


def test_page_when_shown_then_marks_itself_and_says_where_it_stands(person_of: Callable[..., Any]) -> None:
    olga = person_of("olga")
    streams = olga.get("/control/streams").text
    assert streams.count('href="/control/streams" aria-current="page"') == 2, "at the side, and folded"
    assert '<li aria-current="page">Stopped streams</li>' in streams
    kill = olga.post("/control/kill", {"word": "no", "reason": ""}).text
    assert '<li><a href="/">Dashboard</a></li><li aria-current="page">Kill switch</li>' in kill
    assert 'aria-label="Breadcrumb"' not in olga.get("/").text


def test_an_address_that_is_no_page_when_somebody_is_logged_in_then_the_menu_stands_beside_the_answer(
    person_of: Callable[..., Any], person: Any
) -> None:
    for one, has_menu in ((person_of("vera"), True), (person, False)):
        answer = one.get("/no-such-page")
        assert answer.status_code == 404
        assert "There is no such page." in answer.text
        assert ('href="/trades"' in answer.text) is has_menu


def test_log_in_when_shown_then_there_is_no_navigation(person: Any) -> None:
    assert "<nav" not in person.get("/login").text


def test_zone_when_chosen_then_every_page_reads_in_it_until_another_is(person_of: Callable[..., Any]) -> None:
    vera = person_of("vera")
    assert 'data-zone="America/New_York" data-zone-name="New York"' in vera.get("/").text
    answer = vera.post("/preferences", {"zone": "utc", "back": "/control/arm?x=1"}, form_on="/")
    assert answer.headers["Location"] == "/control/arm?x=1"
    assert 'data-zone="UTC" data-zone-name="UTC"' in vera.get("/").text
    vera.post("/preferences", {"zone": '"><b>'}, form_on="/")
    assert 'data-zone="America/New_York"' in vera.get("/").text


def test_preferences_when_one_is_set_then_the_others_stay(person_of: Callable[..., Any]) -> None:
    vera = person_of("vera")
    vera.post("/preferences", {"theme": "dark", "zone": "utc", "gain": "red"}, form_on="/")
    vera.post("/preferences", {"gain": "green"}, form_on="/")
    page = vera.get("/").text
    assert 'data-zone="UTC"' in page
    assert 'data-gain="green" data-bs-theme="dark"' in page


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\tx", "javascript:alert(1)", "", "x"]
)
def test_preferences_when_the_way_back_leads_elsewhere_then_it_leads_to_the_first_page(
    back: str, person_of: Callable[..., Any]
) -> None:
    answer = person_of("vera").post("/preferences", {"theme": "dark", "back": back}, form_on="/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_time_when_written_then_summer_time_counts() -> None:
    winter = OPEN_MS - 60 * 24 * 3600 * 1000
    assert time_text(OPEN_MS, zone_of("new_york"), "second") == "09:30:00"
    assert time_text(winter, zone_of("new_york"), "second") == "08:30:00"
    assert time_text(winter, zone_of("utc")) == "2025-01-11 13:30:00"
    assert zone_of("moon") == ZONES[0]


def test_style_guide_when_not_asked_for_then_is_not_there(
    configured: HomePaths, person_of: Callable[..., Any], new_person: Callable[..., Any]
) -> None:
    assert person_of("adam").get("/styleguide").status_code == 404
    adam = new_person(create_app(configured, StatusHub(), has_styleguide=True))
    assert adam.get("/styleguide").status_code == 303
    adam.log_in("adam")
    shown = adam.get("/styleguide")
    assert shown.status_code == 200
    for component in ("page_head", "panel", "tile", "meter_tile", "badge", "empty", "loading", "notice", "field"):
        assert component in shown.text, component
