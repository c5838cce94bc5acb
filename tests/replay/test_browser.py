"""The demonstration's browser: it sends what a form holds, and says what a page answers."""

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

from bus.processes import free_port
from replay.browser import Browser, PageError, _FormReader

PAGE = """<!doctype html>
<div role="alert" class="note">Read <b>this</b> first.<br>Then go on.</div>
<form action="/logout"><input name="other" value="not mine"></form>
<p>Between</p>
<form method="post" action="/control/arm">
  <input type="hidden" name="csrf_token" value="t&amp;oken">
  <input name="reason" value="">
  <input name="empty">
  <input type="submit" value="no name">
  <input type="checkbox" name="unticked" value="yes">
  <input type="checkbox" name="ticked" value="yes" checked>
  <input type="radio" name="kind" value="a">
  <input type="radio" name="kind" value="b" checked>
  <select name="chosen"><option value="1">one</option><option value="2" selected>two</option>
    <option value="3">three</option></select>
  <select name="first"><option value="x">ex</option><option value="y">why</option></select>
</form>
<input name="outside" value="of any form">
"""


def _read(page: str, action: str = "/control/arm") -> _FormReader:
    reader = _FormReader(action)
    reader.feed(page)
    return reader


def test_a_form_when_read_has_what_a_browser_would_send() -> None:
    assert _read(PAGE).fields == {
        "csrf_token": "t&oken",
        "reason": "",
        "empty": "",
        "ticked": "yes",
        "kind": "b",
        "chosen": "2",
        "first": "x",
    }


def test_a_form_when_it_has_another_action_is_not_read() -> None:
    assert _read(PAGE, "/logout").fields == {"other": "not mine"}
    assert _read(PAGE, "/elsewhere").fields == {}


def test_a_form_when_it_has_no_action_is_the_one_of_its_page() -> None:
    assert _read('<form method="post"><input name="a" value="1"></form>').fields == {"a": "1"}


def test_alerts_when_read_are_the_words_inside_them_alone() -> None:
    assert _read(PAGE).alerts == ["Read", "this", "first.", "Then go on."]


@pytest.mark.parametrize("gap", ["<br>", "<br/>", "<hr>", '<img src="x">', '<input type="hidden">'])
def test_an_alert_when_it_has_tags_without_an_end_ends_where_it_ends(gap: str) -> None:
    page = f'<div><div role="alert"><p>One{gap}two</p>three</div>after</div>after'
    assert _read(page).alerts == ["One", "two", "three"]


def test_alerts_when_there_are_several_are_all_read() -> None:
    page = '<ul><li role="alert">One</li><li>no</li><li role="alert">Two</li></ul>'
    assert _read(page).alerts == ["One", "Two"]


class Site(http.server.BaseHTTPRequestHandler):
    """A log-in page: hands out a cookie and a token, wants both back, and knows one password."""

    posted: dict[str, str]
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(200, "ok")
        elif self.path == "/stream":
            self._answer(200, 'event: chain\ndata: {"state": "ACTIVE"}\n\n: a comment\nevent: event\ndata: [1]\n\n')
        elif self.path == "/api/snapshot":
            self._answer(200, json.dumps({"cookie": self.headers.get("Cookie", "")}))
        elif self.path == "/login":
            page = '<form action="/login"><input name="token" value="t1"><input name="name"><input name="word"></form>'
            self._answer(200, page, {"Set-Cookie": "session=s1; Path=/"})
        else:
            self._answer(200, "<p>No form here.</p>")

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        values = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
        is_whole = values.get("token") == "t1" and self.headers.get("Cookie") == "session=s1"
        if is_whole and self.headers["Referer"].endswith("/login") and values["word"] == "right":
            self._answer(303, "", {"Location": "/dashboard"})
        else:
            self._answer(403, '<p>Sorry</p><div role="alert">The password is <b>wrong</b>.</div>')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        return None

    def _answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_when_filled_in_takes_cookie_and_token_along_and_leads_on(site: str) -> None:
    browser = Browser(site)
    assert browser.fill_in("/login", {"name": "ann", "word": "right"}) == "/dashboard"
    assert browser.snapshot() == {"cookie": "session=s1"}


def test_a_page_when_it_refuses_says_why_in_its_own_words(site: str) -> None:
    with pytest.raises(PageError, match=r"^/login answered 403: The password is wrong ?\.$"):
        Browser(site).fill_in("/login", {"name": "ann", "word": "guessed"})


def test_a_page_when_it_has_no_form_says_so(site: str) -> None:
    with pytest.raises(PageError, match="/about has no form"):
        Browser(site).fill_in("/about", {})


def test_the_stream_when_followed_gives_kind_and_value_of_each_event(site: str) -> None:
    assert list(Browser(site).stream()) == [("chain", {"state": "ACTIVE"}), ("event", [1])]


def test_a_server_when_it_answers_is_up_and_when_nobody_listens_is_not(site: str) -> None:
    assert Browser(site).is_up()
    assert not Browser(f"http://127.0.0.1:{free_port()}").is_up()
