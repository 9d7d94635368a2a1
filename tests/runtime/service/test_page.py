"""The live page in a real browser (headless Chromium): load, drag, a style, snapshot, the stream lost and regained."""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect, sync_playwright

from runtime.service.live import Ladder, ladder_of
from tests.runtime.service.conftest import Served, Start

CHROMIUM = shutil.which("chromium") or ""
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 60_000
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """With a profile of its own."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, headless=True, args=FLAGS,
            viewport={"width": 1000, "height": 800}, color_scheme="light", ignore_https_errors=True,
        )  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        yield context
        context.close()


@pytest.fixture(scope="module")
def camera(root: Path, tint: Path) -> Iterator[Served]:
    """A service on a moving pattern, whose own stream is the other tests' camera."""
    service = Served(root, tint, "--source", "synthetic:@15", "--rate", "0")
    yield service
    service.kill()


@pytest.fixture
def page(browser: BrowserContext, camera: Served) -> Iterator[Page]:
    """Open on the camera's service, with a picture on its stage; nothing may be said on its console."""
    yield from opened(browser, camera.url)


def opened(browser: BrowserContext, url: str) -> Iterator[Page]:
    tab = browser.new_page()
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))  # but for advice on how the test reads canvases
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(url)
    expect(tab.locator("#state")).to_have_text("playing", timeout=PATIENCE_MS)
    yield tab
    tab.close()
    assert [text for text in said if "getImageData" not in text] == []
    assert [url for url in asked if not url.startswith((camera_host(tab.url), "blob:"))] == []


def camera_host(url: str) -> str:
    match = re.match(r"https?://[^/]+", url)
    assert match
    return match[0]


def pixels(page: Page, canvas: str) -> np.ndarray:
    """(H, W, 4) RGBA of a canvas."""
    values = page.evaluate(
        """(id) => { const c = document.getElementById(id);
        return [c.height, c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }""",
        canvas,
    )
    return np.array(values[2:], np.uint8).reshape(values[0], values[1], 4)


def wait_until(page: Page, expression: str) -> None:
    """Until JavaScript says true; `wait_for_function` asks again with eval, which the page's policy refuses."""
    until = monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(expression):
        assert monotonic() < until, expression
        page.wait_for_timeout(50)


def test_the_picture_moves_and_both_halves_are_of_one_frame(page: Page) -> None:
    first = pixels(page, "back")
    assert first.shape == (48, 64, 4)
    sequence = page.evaluate("document.documentElement.dataset.sequence")
    wait_until(page, f"document.documentElement.dataset.sequence > {sequence}")
    # The identity engine: what is on the right of the divider is what is on its left, of the same moment.
    pair = page.evaluate("""() => ['back', 'front'].map((id) => {
        const c = document.getElementById(id);
        return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; })""")
    assert np.abs(np.array(pair[0], int) - np.array(pair[1], int)).max() <= 2
    assert page.locator("#engine").inner_text().startswith("tint.onnx")
    expect(page.locator("#figures .age dd")).to_contain_text("ms")


def test_the_divider_follows_the_mouse_and_the_keys(page: Page) -> None:
    stage, handle = page.locator("#stage"), page.locator("#divider")
    box = stage.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, middle, steps=4)
    page.mouse.up()
    assert handle.get_attribute("aria-valuenow") == "25"
    clip = page.evaluate("getComputedStyle(document.getElementById('front')).clipPath")
    assert float(re.findall(r"([\d.]+)%", clip)[-1]) == pytest.approx(25, abs=0.5)
    page.keyboard.press("ArrowRight")
    assert handle.get_attribute("aria-valuenow") == "27"
    page.keyboard.press("End")
    assert handle.get_attribute("aria-valuenow") == "100"


def test_views_by_key_and_button(page: Page) -> None:
    page.keyboard.press("4")
    expect(page.locator("[data-view=difference]")).to_have_attribute("aria-checked", "true")
    expect(page.locator("#divider")).to_be_hidden()
    wait_until(page, """() => { const c = document.getElementById('front');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.every((v, i) => i % 4 == 3 || v < 3); }""")
    page.locator("[data-view=compare]").click()
    expect(page.locator("#divider")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()


def test_a_style_changes_the_picture_and_the_service_agrees(page: Page, camera: Served) -> None:
    with camera.client() as client:
        number = page.locator("[data-control=style] [data-seed=number]")
        number.fill("7")
        number.press("Enter")
        expect(page.locator("#note")).to_have_text("style = seed:7")
        style = client.get("/controls").json()["style"]
        drawn = np.random.default_rng(7).uniform(-1, 1, (1, 3)).astype(np.float32)
        assert style["value"] == pytest.approx(drawn[0].tolist())
        sliders = page.locator("[data-control=style] [data-element]")
        expect(sliders.nth(0)).not_to_have_value("0")
        shown = [float(slider.input_value()) for slider in sliders.all()]
        assert shown == pytest.approx(drawn[0].tolist(), abs=0.01)
        page.locator("[data-class=summer]").click()
        wait_until(page, """() => { const c = document.getElementById('front');
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            return d.reduce((sum, v) => sum + v, 0) / d.length > 235; }""")
        assert client.get("/controls").json()["season"]["value"] == [1, 0]
        page.locator("[data-control=style] button", has_text="default").click()
        page.locator("[data-control=season] button", has_text="default").click()
        expect(page.locator("[data-class=winter]")).to_have_attribute("aria-pressed", "true")


def test_a_snapshot_is_kept_without_loss(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.keyboard.press("s")
    name = download.value.suggested_filename
    assert re.fullmatch(r"inloco_side_\d{6}\.png", name)
    download.value.save_as(tmp_path / name)
    both = cv2.imread(str(tmp_path / name))
    assert both.shape == (48, 128, 3)
    assert np.array_equal(both[:, :64], both[:, 64:])


def test_a_phone_in_the_dark_has_all_of_it(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", dark)[:3])) < 60
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box
        assert box["height"] >= 40
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_the_stream_is_lost_said_to_be_and_comes_back(
    browser: BrowserContext, root: Path, tint: Path, serve: Start, tmp_path: Path
) -> None:
    # A chain of two real services: the first one's MJPEG is the second one's camera.
    camera = Served(root, tint, "--source", "synthetic:@15")
    port = str(camera.port)
    viewer = serve(tint, "--source", f"{camera.url}/streams/original", "--fit", "stretch")
    page = browser.new_page()
    page.goto(viewer.url)
    expect(page.locator("#state")).to_have_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#banner")).to_be_hidden()
    camera.kill()
    expect(page.locator("#banner")).to_contain_text("NO SIGNAL", timeout=PATIENCE_MS)
    expect(page.locator("#state")).to_have_text("no signal")
    with viewer.client() as client:
        assert client.get("/snapshot/translated").status_code == 409
        assert client.get("/ready").status_code == 503
    camera = serve(tint, "--source", "synthetic:@15", "--port", port)
    expect(page.locator("#state")).to_have_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#banner")).to_be_hidden()
    with viewer.client() as client:
        assert 'inloco_reconnects_total 1.0' in client.get("/metrics").text
    viewer.kill()
    expect(page.locator("#banner")).to_contain_text("NO WORD FROM THE SERVICE", timeout=PATIENCE_MS)
    wait_until(page, "getComputedStyle(document.getElementById('back')).filter != 'none'")  # the picture is old
    serve(tint, "--source", f"{camera.url}/streams/original", "--port", str(viewer.port))
    expect(page.locator("#state")).to_have_text("live", timeout=PATIENCE_MS)
    page.close()


def test_a_step_of_the_ladder_and_an_old_picture_are_said(browser: BrowserContext, camera: Served) -> None:
    page = browser.new_page()
    said: dict[str, object] = {"ladder": {"level": 2, "name": "tint_int8.onnx"}}

    def between(route: WebSocketRoute) -> None:
        """Passes the service's messages on, with `said` in their heads."""
        server = route.connect_to_server()

        def forward(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            (length,) = struct.unpack(">I", message[:4])
            head = json.dumps(json.loads(message[4 : 4 + length]) | said).encode()
            route.send(struct.pack(">I", len(head)) + head + message[4 + length :])

        server.on_message(forward)

    page.route_web_socket(re.compile("/streams"), between)
    page.goto(camera.url)
    expect(page.locator("#ladder")).to_have_text("the machine is late: step 2 of the ladder, tint_int8.onnx")
    expect(page.locator("#banner")).to_be_hidden()
    said.update(state="stale", age_ms=2300, ladder=None)
    expect(page.locator("#banner")).to_contain_text("STALE PICTURE")
    expect(page.locator("#banner")).to_contain_text("2.3 s old")
    expect(page.locator("#ladder")).to_be_hidden()
    page.close()


def test_a_real_ladder_is_told_by_page_metrics_and_picture(browser: BrowserContext, serve: Start, tint: Path) -> None:
    """No engine can be in time for a microsecond: the ladder ends at the original and stays there."""
    options = ["--source", "synthetic:96x96@30", "--deadline", "0.001ms", "--rate", "0"]
    service = serve(tint, "--ladder", tint, *options)
    page = browser.new_page()
    page.goto(service.url)
    expect(page.locator("#ladder")).to_have_text("the machine is late: step 2 of the ladder, original")
    expect(page.locator("#figures")).to_contain_text("steps down2")
    with service.client() as client:
        metrics = client.get("/metrics").text
        assert "inloco_ladder_level 2.0" in metrics
        assert [one["file"] for one in client.get("/engine").json()["ladder"]] == [tint.name]
        assert 'inloco_ladder_moves_total{direction="down"} 2.0' in metrics
        assert 'inloco_ladder_moves_total{direction="up"} 0.0' in metrics
        (late,) = re.findall(r"^inloco_late_total (\S+)", metrics, re.MULTILINE)
        assert float(late) >= 6
        both = cv2.imdecode(np.frombuffer(client.get("/snapshot/side").content, np.uint8), cv2.IMREAD_COLOR)
    assert both.shape == (48, 128, 3)
    assert np.array_equal(both[:-12, :64], both[:-12, 64:]), "the original on both sides, framed alike"
    assert not np.array_equal(both[-12:, :64], both[-12:, 64:]), "and words below it"
    page.close()
    code, errors = service.end()
    assert code == 0
    assert "ladder: down to step 2, original" in errors


def test_the_ladders_step_is_read_off_the_pipelines_statistics() -> None:
    pipeline = SimpleNamespace(stats=SimpleNamespace(ladder_level=1, ladder_name="small.onnx"))
    assert ladder_of(pipeline) == Ladder(1, "small.onnx")  # type: ignore[arg-type]
    assert ladder_of(SimpleNamespace(stats=SimpleNamespace())) is None  # type: ignore[arg-type]
    assert ladder_of(None) is None


def test_off_loopback_the_page_asks_for_the_token(
    browser: BrowserContext, serve: Start, tint: Path, tmp_path: Path
) -> None:
    service = serve(tint, "--host", "0.0.0.0", "--token-file", tmp_path / "token", "--source", "synthetic:@15")
    assert service.url.startswith("https://")
    page = browser.new_page()
    page.goto(service.url)
    page.locator("#token").fill("not the token")
    page.keyboard.press("Enter")
    expect(page.locator("#login")).to_be_visible()
    page.locator("#token").fill((tmp_path / "token").read_text().strip())
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("playing", timeout=PATIENCE_MS)
    page.close()
