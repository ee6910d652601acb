"""The flight report in a real browser: it opens without one error, and everything in it can be used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfly.report import robustness, write_report
from tinyfly.report.hil import ChipFlight

webdriver = pytest.importorskip("selenium.webdriver")
pytest.importorskip("plotly")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver")

FLAGS = (
    "--headless --no-sandbox --disable-gpu --enable-unsafe-swiftshader --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --disable-quic "
    "--window-size=800,600"
)


def chip_flight() -> ChipFlight:
    """Two seconds; the sensors say nothing in the last."""
    states = np.tile([0.0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], (201, 1))
    states[100:] = np.nan
    return ChipFlight(
        "hover", "it hovers", 0.01, states, np.zeros((201, 3)), np.ones((201, 4)), "flying", False
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A report of a policy that flies, beside one that does not, opened."""
    from policies import random_policy
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    from tinyfly.contract import paper_contract
    from tinyfly.trainer import Settings, train

    folder = tmp_path_factory.mktemp("browser")
    flies = train(Settings(task="paper")).save(folder / "flies.policy")
    falls = random_policy(paper_contract()).save(folder / "<b>falls.policy")
    with pytest.MonkeyPatch.context() as patch:
        for name, few in (
            ("LATENCIES_MS", (0.0, 30.0)),
            ("WINDS", (0.0,)),
            ("BATTERIES", (1.0,)),
            ("CENTRES", (0.0,)),
            ("EPISODES", 2),
        ):
            patch.setattr(robustness, name, few)
        report: Path = write_report(
            flies, compare=[falls], episodes=20, latency_ms=0, chip_flights=[chip_flight()]
        )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(report.as_uri())
        ready = "return document.documentElement.dataset.ready == 'yes'"
        WebDriverWait(driver, 60).until(lambda d: d.execute_script(ready))
        yield driver
    finally:
        driver.quit()


@pytest.fixture(autouse=True)
def no_console_error(page: Any) -> Iterator[None]:
    yield
    errors = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def clock(page: Any) -> float:
    return float(page.find_element("id", "clock").text.removesuffix(" s"))


def test_page_opens_with_every_figure_drawn(page: Any) -> None:
    drawn = page.execute_script("return [...document.querySelectorAll('.js-plotly-plot')].map(e => e.id)")
    expected = {"scene", "strip-error", "strip-tilt", "strip-motor", "error-time", "error-share"}
    maps = {f"map-{i}" for i in range(2 * len(robustness.MAPS))}  # of two policies
    assert expected | maps == set(drawn)


def test_page_asks_the_network_for_nothing(page: Any) -> None:
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_every_flight_can_be_chosen(page: Any) -> None:
    buttons = page.find_elements("css selector", "[data-flight]")
    names = ["Hover", "Recovery", "Figure-eight 5.5 s", "Chip: hover, 2.0 s"]
    assert [b.text for b in buttons[:4]] == names
    assert len(buttons) == 4 + 5
    for button in buttons:
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert page.execute_script("return stage.flight.id") == button.get_attribute("data-flight")
        assert clock(page) == 0


def test_flight_plays_pauses_and_scrubs(page: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    page.find_element("css selector", "[data-flight=hover]").click()
    page.execute_script("$('speed').value = '0.25'")  # not over before the pause
    play = page.find_element("id", "play")
    play.click()
    assert play.text == "Pause"
    WebDriverWait(page, 30).until(lambda d: clock(d) > 0)
    play.click()
    assert play.text == "Play"
    page.execute_script("const s = $('scrub'); s.value = 500; s.dispatchEvent(new Event('input'))")
    assert clock(page) == pytest.approx(2.5)


def test_vehicle_is_drawn_where_it_flew(page: Any) -> None:
    page.execute_script("choose('hover'); seek(2)")
    centre, flown = page.execute_script(
        "const body = $('scene').data[stage.moving[1]], f = stage.flight, i = Math.round(2 / f.dt_s);"
        "const mean = (a) => (a[0] + a[1]) / 2;"
        "return [[mean(body.x), mean(body.y), mean(body.z)], f.flown[0].position.map((p) => p[i])]"
    )
    assert centre == pytest.approx(flown, abs=1e-3)


def test_light_and_dark_can_be_switched(page: Any) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    before = page.execute_script(background)
    page.find_element("id", "theme").click()
    assert page.execute_script(background) != before
    page.find_element("id", "theme").click()
    assert page.execute_script(background) == before


def test_figures_are_drawn_anew_for_paper_and_again_for_the_screen(page: Any) -> None:
    widths = (
        "return [...document.querySelectorAll('.js-plotly-plot')]"
        ".map((p) => [p.querySelector('.main-svg').clientWidth, p.clientWidth])"
    )
    before = page.execute_script(widths)
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    try:
        assert page.execute_script("return document.body.clientWidth") == 700
        assert all(drawn == place for drawn, place in page.execute_script(widths))
    finally:
        page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.execute_script(widths) == before


def test_page_fits_a_phone(page: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    fits = "return document.documentElement.scrollWidth <= 360"
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:  # the figures are drawn anew for the narrow page, which takes a moment
        WebDriverWait(page, 30).until(lambda d: d.execute_script(fits))
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_foreign_name_is_shown_as_text(page: Any) -> None:
    assert "<b>falls" in page.find_element("id", "legend").text
    assert page.find_elements("css selector", "main b b, svg b") == []
