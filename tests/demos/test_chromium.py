"""The HTML report in a real headless Chromium (`make compat` brings one)."""

import shutil
import sys
from pathlib import Path

import pytest

from demos import DemoSet
from demos.viewing.report import report
from demos.viewing.summary import summarise

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright and a Chromium (make compat)")
BROWSER = next(
    (str(p) for p in (Path(f) / "browser" / "chromium" for f in sys.path) if p.exists()),
    shutil.which("chromium") or shutil.which("google-chrome"),
)
COUNT = """() => ({images: document.images.length,
    drawn: [...document.images].every(i => i.complete && i.naturalWidth > 0),
    plots: document.querySelectorAll('svg').length,
    seen: [...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().width > 50),
    lines: document.querySelectorAll('polyline').length, wide: document.documentElement.scrollWidth <= innerWidth})"""


@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium (make compat)")
def test_every_picture_and_plot_shows_and_nothing_is_fetched(three, tmp_path, monkeypatch):
    demos = DemoSet(three)
    (tmp_path / "report.html").write_text(report(demos, summarise(demos), []))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(Path(BROWSER).parent))
    asked, complaints = [], []
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", "--headless=shell"], timeout=180_000
        )
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto((tmp_path / "report.html").as_uri(), timeout=120_000)
        told = page.evaluate(COUNT)
        assert page.title() == str(three)
        browser.close()
    assert told == {"images": 3, "drawn": True, "plots": 4, "seen": True, "lines": 6, "wide": True}
    assert [url for url in asked if not url.startswith("data:")] == [
        (tmp_path / "report.html").as_uri()
    ] and not complaints
