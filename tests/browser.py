"""A real browser, headless: Debian's Chromium (or another one on the path), driven by Playwright, never downloaded."""

import os
import shutil

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """The browser; tests skip without one, except where everything is checked (CI set)."""
    if BROWSER is None and not os.environ.get("CI"):
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    assert BROWSER, "Chromium is missing"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield found
        found.close()
