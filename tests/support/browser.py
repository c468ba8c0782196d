"""Chromium, driven through chromedriver: what a person would see of a page."""

from __future__ import annotations

import base64
import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.deadline import DEADLINE_S, SLOWNESS, eventually

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --window-size=1200,900"
).split()


class Browser:
    """One tab."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        """Go there, and wait until the page is loaded."""
        self._driver.get(url)

    def run(self, script: str, *arguments: object) -> Any:
        """What the body of a function returns in the page."""
        return self._driver.execute_script(script, *arguments)

    def run_async(self, script: str) -> Any:
        """What the body of a function gives to its last argument, in the page."""
        return self._driver.execute_async_script(script)

    def text(self, selector: str) -> str:
        """The text that is seen of the first element."""
        found: str = self.run(
            "const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", selector
        )
        return found

    def wait_for(self, selector: str, wanted: str) -> None:
        """Until that text is in the first element."""
        try:
            eventually(lambda: wanted in self.text(selector), f"{wanted!r} in {selector}")
        except AssertionError:
            raise AssertionError(f"{selector} says {self.text(selector)!r}, not {wanted!r}") from None

    def press(self, key: str) -> None:
        """A key, where the focus is: "Tab", "Enter"."""
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.keys import Keys

        ActionChains(self._driver).send_keys(getattr(Keys, key.upper())).perform()

    def scheme(self, name: str) -> None:
        """What the person prefers: "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def screen(self, width: int, height: int) -> None:
        """A screen of so many pixels; a narrow one is a phone's."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """The nodes that a screen reader gets."""
        nodes = self._driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        return [node for node in nodes if not node.get("ignored")]

    def complaints(self) -> list[str]:
        """What was written to the console since the last call: errors of scripts, refusals of the policy."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def picture(self, path: Path) -> None:
        """The whole page, as a PNG, once nothing on it is on its way to another colour any more."""
        self.run_async(
            "const done = arguments[0]; Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() => done())"
        )
        width, height = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self._driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A fresh one. Skips the test if it, or what drives it, is missing."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium or chromedriver is missing (Debian packages chromium, chromium-driver)")
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("selenium is missing (pip install selenium)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        started.set_script_timeout(DEADLINE_S * SLOWNESS)
        yield Browser(started)
    finally:
        started.quit()
