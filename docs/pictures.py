"""Draw the README's pictures: pages of a trained project, in a real browser.

    make demo LEVEL=operations && make -C build/my-project replay
    .venv/bin/python docs/pictures.py build/my-project

It needs Chromium or Chrome on PATH.
"""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAGES = {
    "training": ("reports/index.html", 590),
    "replay": ("reports/replay/replay.html", 660),
    "monitor": ("reports/replay/index.html", 1100),
}
WIDTH = 1100


def draw(browser: str, page: Path, picture: Path, height: int) -> None:
    """Write the upper part of a page as PNG."""
    options = ("--headless", "--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb")
    size = f"--window-size={WIDTH},{height}"
    command = [browser, *options, size, f"--screenshot={picture}", page.resolve().as_uri()]
    subprocess.run(command, check=True, capture_output=True)


def main(project: Path) -> None:
    """Draw every page of a project."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is on PATH")
    FOLDER.mkdir(exist_ok=True)
    for name, (page, height) in PAGES.items():
        draw(browser, project / page, FOLDER / f"{name}.png", height)
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
