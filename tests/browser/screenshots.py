"""Draws every page with the sample on the bench, light, dark and narrow, into docs/screenshots.

Run it with `make screenshots`, and look at what it drew.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import FLAGS, find_chromium
from tests.browser.driver import REPOSITORY, SETTLED_WITHIN, Server
from tests.browser.sample_job import whole_job

SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
THEMES = ("light", "dark")
COLOURS = 256
"""Colours kept of a screenshot: flat areas need few, and the repository stays small."""


def draw(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for size, (width, height) in SIZES.items():
            for theme in THEMES:
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=theme
                )
                context.set_default_timeout(SETTLED_WITHIN)
                page = context.new_page()

                def shoot(
                    name: str, page: Page = page, size: str = size, theme: str = theme
                ) -> None:
                    page.wait_for_timeout(1200)
                    path = folder / f"{name}-{theme}-{size}.png"
                    page.screenshot(path=path)
                    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
                    print(path)

                # A server of its own each: on a shared one the model would be loaded already.
                server = Server(Path(scratch) / f"{theme}-{size}")
                whole_job(page, server.url, shoot)
                server.stop()
                context.close()
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs" / "screenshots")
