"""What a person's browser does, for the demonstration: reads a form, fills it in, sends it, follows the stream."""

import http.client
import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final

_TIMEOUT_S: Final = 30


class PageError(Exception):
    """A page refused what was sent; the text is what the page says."""


class _FormReader(HTMLParser):
    """Collects the fields of the form with one action, with the values the page filled in, and the page's alerts."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.alerts: list[str] = []
        self._action = action
        self._is_inside = False
        self._select = ""
        self._alert_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a field."""
        values = {name: value or "" for name, value in attrs}
        if self._alert_depth or values.get("role") == "alert":
            self._alert_depth += tag not in ("br", "input", "img", "hr")
        if tag == "form":
            self._is_inside = values.get("action", self._action) == self._action
        if not self._is_inside:
            return
        if tag == "input" and "name" in values:
            if values.get("type") not in ("checkbox", "radio") or "checked" in values:
                self.fields[values["name"]] = values.get("value", "")
        elif tag == "select":
            self._select = values.get("name", "")
        elif tag == "option" and self._select and ("selected" in values or self._select not in self.fields):
            self.fields[self._select] = values.get("value", "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a field; a void tag has no end."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Leave a form, a select or an alert."""
        if tag == "form":
            self._is_inside = False
        elif tag == "select":
            self._select = ""
        self._alert_depth = max(0, self._alert_depth - 1)

    def handle_data(self, data: str) -> None:
        """Collect what the page alerts to."""
        if self._alert_depth and data.strip():
            self.alerts.append(data.strip())


class Browser:
    """One session with one web UI; cookies and CSRF tokens are kept as a browser keeps them."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url.rstrip("/")
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def is_up(self) -> bool:
        """Tell whether the server answers at all."""
        try:
            with self._opener.open(f"{self._base}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def fill_in(self, path: str, values: dict[str, str]) -> str:
        """Open a page, put values into its form, send it, and return the path the server leads to.

        Raises:
            PageError: the page refused, with the page's own words.
        """
        page = self._text(f"{self._base}{path}", None)
        form = _FormReader(path)
        form.feed(page)
        if not form.fields:
            raise PageError(f"The page {path} has no form to fill in.")
        body = urllib.parse.urlencode(form.fields | values).encode()
        headers = {"Referer": self._base + path}
        request = urllib.request.Request(f"{self._base}{path}", data=body, headers=headers)  # noqa: S310 - our own page
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return str(urllib.parse.urlsplit(answer.url).path)
        except urllib.error.HTTPError as error:
            reader = _FormReader(path)
            reader.feed(error.read().decode(errors="replace"))
            said = " ".join(reader.alerts) or error.reason
            raise PageError(f"{path} answered {error.code}: {said}") from error

    def snapshot(self) -> dict[str, Any]:
        """Return the dashboard's present state."""
        return dict(json.loads(self._text(f"{self._base}/api/snapshot", None)))

    def stream(self) -> Iterator[tuple[str, Any]]:
        """Yield (kind, value) of the live stream until the server ends it."""
        kind = ""
        with self._opener.open(f"{self._base}/stream", timeout=_TIMEOUT_S) as answer:
            for raw in answer:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    yield kind, json.loads(line[6:])

    def _text(self, url: str, data: bytes | None) -> str:
        with self._opener.open(url, data=data, timeout=_TIMEOUT_S) as answer:
            return str(answer.read().decode())
