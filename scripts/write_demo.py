"""Run the demo study and put what it prints into the README, between the demo markers, with a picture of its page.

python scripts/write_demo.py [FOLDER]    # FOLDER: a demo that has been made already

The picture needs Chromium (CHROMIUM=/path/to/it); without it the old one stays, which is said.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "images" / "page.png"
COLUMNS = "100"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "whichtune-demo"
    if len(sys.argv) < 2:
        subprocess.run([sys.executable, "-m", "whichtune", "demo", "--out", str(folder)], check=True)
    shown = subprocess.run(
        [sys.executable, "-m", "whichtune", "show", str(folder)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": COLUMNS},
    ).stdout
    lines = [line.rstrip() for line in shown.strip().splitlines()]
    text = "\n".join(lines)
    readme = README.read_text(encoding="utf-8")
    block = f"<!-- demo -->\n```\n{text}\n```\n<!-- /demo -->"
    new = re.sub(r"<!-- demo -->.*<!-- /demo -->", lambda _: block, readme, flags=re.S)
    README.write_text(new, encoding="utf-8")
    take_picture(folder / "report.html")


def take_picture(page: Path) -> None:
    """The page's first screen as the README shows it."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("There is no Chromium, so docs/images/page.png stays as it is.")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1180, "height": 640}, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
