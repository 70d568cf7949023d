# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the erasure report: all of the JSON is on it, a browser shows it on any width, and it loads nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence import moments
from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence.reading import Reader
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import erasure_report, erasure_report_formats
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.erasure_report_scope import Scope

from support import audit_logs
from support.limits import HANGS
from support.real import missing

HOSTILE = "</table><script>alert(1)</script><img src=//example.org/x>"
# The page asks how wide it is and what it looks like, and writes the answer into itself. The page that is shipped runs no script.
PROBE = """<script>
const shown = getComputedStyle(document.body);
const wide = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
const cut = [...document.querySelectorAll("td, dd, th")].filter(e => e.scrollWidth > e.clientWidth + 1);
document.body.dataset.probe = JSON.stringify({
  width: innerWidth, scrolls: document.documentElement.scrollWidth > innerWidth, wide: wide.length, cut: cut.length,
  paper: shown.backgroundColor, ink: shown.color, loaded: performance.getEntriesByType("resource").length,
  bars: [...document.querySelectorAll("rect.bar")].filter(e => e.getBoundingClientRect().width > 0).length,
});
</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A report that has something in every section."""
    begin, end = moments.period("2026-07-01", "2026-10-01")
    folder = tmp_path_factory.mktemp("logs")
    logs: dict[str, Any] = {"controller-3": {"unreachable": True}}
    for host, path in audit_logs.quarter(folder).items():
        with path.open("a") as file:
            file.write('{"time": "2026-09-30T')
        reader = Reader(begin, end, 2 * 86400)
        reader.read([str(path)])
        logs[host] = reader.result()
    logs["controller-1"]["unfinished"][0]["reason"] = HOSTILE
    return erasure_report.make(logs, {}, Scope(begin, end, 2, 1000))


@pytest.fixture(scope="module")
def page(report: dict[str, Any]) -> str:
    return erasure_report_formats.as_html(report)


class Page(HTMLParser):
    """What a page says: its text, and the values behind its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page.partition("</head>")[2])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.said += [value or "" for name, value in attrs if name in ("datetime", "value")]

    def handle_data(self, data: str) -> None:
        self.said.append(" ".join(data.split()))


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from leaves(entry, f"{key}.{name}")
    elif isinstance(value, list):
        for entry in value:
            yield from leaves(entry, key)
    else:
        yield key, value


def test_all_of_the_json_is_on_the_page(report: dict[str, Any], page: str) -> None:
    said = Page(page).said
    text = " | ".join(said)
    empty = [name for name, value in report.items() if value in ([], {}) and name != "remarks"]
    assert not empty, "a section of the report has nothing in it, so nothing is compared"
    for key, value in leaves(json.loads(erasure_report_formats.as_json(report))):
        if key == ".complete":
            assert ("complete" if value else "incomplete") in said
        elif isinstance(value, str) and len(value) > 3:
            assert " ".join(value.split()) in text, key
        elif value not in (None, ""):
            assert re.search(rf"(?<!\d){re.escape(str(value))}(?!\d)", text), key
    for name in (
        erasure_report_formats.duration(report["retention"][0]["longest"]["seconds"]),
        *report["rules"][0]["erased"],
    ):
        assert name in text


def test_numbers_are_in_the_row_they_belong_to(report: dict[str, Any], page: str) -> None:
    """Of each day and job, in the order of the columns."""
    section = page.partition("<h2>Days</h2>")[2].partition("</table>")[0]
    rows = [" ".join(Page(f"</head>{row}").said).split() for row in section.split("<tr>")[2:]]
    assert len(rows) == len(report["days"])
    for row, entry in zip(rows, report["days"], strict=True):
        erased = [str(part) for kind, number in entry["erased"].items() for part in (number, kind)] or ["none"]
        numbers = [entry[name] for name in ("rows", "failed", "made_good", "left_behind")]
        assert row == [entry["day"], entry["day"], entry["job"], *erased, *map(str, numbers)]


def test_page_loads_nothing_and_runs_nothing(page: str) -> None:
    parsed = Page(page)
    assert "default-src 'none'" in page.partition("<style>")[0]
    assert not {"script", "img", "link", "iframe", "object", "form", "base"} & set(parsed.tags)
    assert not [
        name
        for name, _value in parsed.attributes
        if name.startswith("on") or name in ("src", "srcset", "style", "action")
    ]
    assert {value for name, value in parsed.attributes if name == "href"} == {"#damaged"}
    assert "url(" not in page and "@import" not in page and "://" not in page
    assert "&lt;script&gt;" in page and "alert(1)" in page  # what is hostile in a log is text


def browse(page: str, folder: Path, *arguments: str) -> str:
    program = shutil.which("chromium")
    if program is None:
        missing("chromium", "chromium is not there")
    path = folder / "page.html"
    path.write_text(page)
    command = [
        str(program), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", *arguments, path.as_uri(),
    ]  # fmt: skip
    played = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=False)
    assert played.returncode == 0, played.stderr
    return played.stdout


# A window of Chromium is at least 500 wide, so a narrow page is looked at in a frame.
FRAME = (
    '<!DOCTYPE html><meta charset="utf-8"><style>body {{ margin: 0; }}'
    " iframe {{ border: 0; width: {}px; height: 3000px; }}</style>"
)


def probe(page: str, folder: Path, width: int, *, dark: bool) -> dict[str, Any]:
    """What a browser says of the page on a screen of this width."""
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace(
        "</body>", f"{PROBE}</body>"
    )
    (folder / "inner.html").write_text(open_page)
    said = """<iframe src="inner.html"></iframe><script>
    onload = () => { document.body.dataset.probe = frames[0].document.body.dataset.probe; };</script>"""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    outer = FRAME.format(width) + f"<body>{said}</body>"
    dumped = browse(outer, folder, "--dump-dom", "--allow-file-access-from-files", "--window-size=1400,3000", scheme)
    found = re.search(r'data-probe="([^"]*)"', dumped)
    assert found, dumped[-500:]
    return json.loads(found[1].replace("&quot;", '"'))


def test_page_fits_wide_and_narrow_screens_in_light_and_dark(report: dict[str, Any], page: str, tmp_path: Path) -> None:
    wide, narrow = probe(page, tmp_path, 1280, dark=False), probe(page, tmp_path, 400, dark=True)
    days = {entry["day"] for entry in report["days"]}
    for width, found in ((1280, wide), (400, narrow)):
        assert found["width"] == width and not found["scrolls"] and found["wide"] == found["cut"] == 0, found
        assert found["loaded"] == 0 and found["bars"] == len(days), found
    light, dark = brightness(wide["paper"]), brightness(narrow["paper"])
    assert light > 200 > 80 > dark
    assert brightness(wide["ink"]) < 80 and brightness(narrow["ink"]) > 200


def brightness(color: str) -> float:
    return sum(map(int, re.findall(r"\d+", color)[:3])) / 3


def test_page_prints(page: str, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    browse(page, tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    assert printed.read_bytes()[:5] == b"%PDF-" and printed.stat().st_size > 20_000
