"""Takes the pictures of the pages that the README and the docs show, from a real registry.

``python scripts/take_screenshots.py [FOLDER]`` runs the demo in a folder of its own, opens its
pages in a headless Chromium (on PATH, or named by CHROMIUM), and writes PNG files, by default to
docs/images.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
WIDE, PHONE = (1280, 900), (390, 844)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def onex(folder: Path, *arguments: str) -> None:
    """Run a command of onex in a folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ONEX_")}
    command = [sys.executable, "-m", "onex", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def take(browser: Browser, url: str, entry: str, target: Path) -> None:
    """Write the pictures of one registry's pages."""
    for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", PHONE)):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        page = context.new_page()
        page.goto(entry)
        page.goto(f"{url}runs")
        runs = page.locator("tbody tr", has_text="stdlib-atlas").locator("a").first
        pages = {
            "catalogue": "",
            "node": "node/tool/atlas.python.parse",
            "run": str(runs.get_attribute("href")).lstrip("/"),
            "health": "health",
            "audit": "audit",
        }
        for name, path in pages.items():
            page.goto(url + path, wait_until="load")
            suffix = "phone" if size == PHONE else scheme
            page.screenshot(path=target / f"pages-{name}-{suffix}.png")
        context.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    target = arguments.parse_args().folder
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no Chromium: install it, or name it by CHROMIUM")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        onex(folder, "demo", "atlas")
        onex(folder, "demo", "atlas")
        process = subprocess.Popen(
            [sys.executable, "-m", "onex", "ui", "--no-browser", "--json",
             "--home", str(folder / "atlas" / ".onex")],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        ready = json.loads(process.stdout.readline() if process.stdout else b"{}")
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
                take(browser, ready["url"], ready["address"], target)
                browser.close()
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
