"""The report of a replay in a real Chromium without a network: it stands alone, at any width and in the dark."""

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from replay.__main__ import main

pytestmark = pytest.mark.browser
_AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("replay") / "out"
    assert main(["run", "--start", "2025-03-10", "--end", "2025-03-14", "--out", str(out)]) == 0
    # Moved to where nothing else of the run is.
    return (out / "report.html").rename(tmp_path_factory.mktemp("alone") / "report.html")


@pytest.mark.parametrize("width", [1200, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_when_opened_anywhere_fits_and_is_accessible(
    context: BrowserContext, report: Path, axe_source: str, width: int, scheme: str
) -> None:
    context.set_offline(offline=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda line: faults.append(line.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda sent: faults.append(sent.url) if sent.url != report.as_uri() else None)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", name="Equity and drawdown")).to_be_visible()
    # Of the two drawings of each chart one is shown, with its words as its name.
    expect(page.get_by_role("img")).to_have_count(4)
    for summary in page.locator("summary").all():
        summary.click()
    expect(page.get_by_role("cell", name="2025-03-14").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    folder = Path(__file__).resolve().parents[2] / "test-results"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / f"replay-report-{width}-{scheme}.png", full_page=True)
    page.evaluate(axe_source)
    found = page.evaluate("tags => axe.run(document, {runOnly: tags})", _AXE_TAGS)
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]] == []
    assert faults == []
