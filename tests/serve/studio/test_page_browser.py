"""The studio's page in a real browser, on a real studio with the embedded model; nothing is mocked.

Needs Chromium (`chromium` on the path, or its file in CADENZA_CHROMIUM). CADENZA_AXE names axe-core's `axe.min.js` for
the check of accessibility, CADENZA_SCREENSHOTS a folder for pictures of the page.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cadenza.testing import noise

pytestmark = pytest.mark.browser

PATIENCE = 300.0  # seconds: the machine may have other work
CHROMIUM = os.environ.get("CADENZA_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
START = """
import sys
from pathlib import Path
from cadenza.serve.studio.app import serve
from cadenza.serve.studio.settings import StudioSettings
keys = Path(sys.argv[3]) if sys.argv[3] else None
settings = StudioSettings(directory=Path(sys.argv[1]), port=int(sys.argv[2]), key_file=keys)
serve(settings, lambda address: print(address, flush=True))
"""


class Running:
    """A studio in a process of its own, which can be killed and started again at the same place."""

    def __init__(self, directory: Path, key_file: Path | None = None) -> None:
        self.directory = directory
        self.key_file = key_file
        self.port = 0
        self.start()

    def start(self) -> None:
        arguments = [str(self.directory), str(self.port), str(self.key_file or "")]
        self.process = subprocess.Popen([sys.executable, "-c", START, *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.port = int(self.address.rsplit(":", 1)[1])
        wait_for(lambda: self.get("/v1/health")["ready"], "the model to be loaded")

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(by)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def get(self, path: str) -> Any:
        return httpx.get(self.address + path, timeout=PATIENCE).raise_for_status().json()

    def make(self, text: str, duration: float = 1.5, **asked: Any) -> dict[str, Any]:
        """A finished take, made without the page."""
        sent = {"text": text, "duration": duration, **asked}
        job = httpx.post(f"{self.address}/v1/generations", json=sent, timeout=PATIENCE).raise_for_status().json()
        wait_for(lambda: self.get(f"/v1/generations/{job['id']}")["status"] == "done", f"{text} to be made")
        take: dict[str, Any] = self.get(f"/v1/takes/{job['items'][0]}")
        return take


def wait_for(check: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := check():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{seconds:g} s were not enough for {what}")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("studio"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def pair(studio: Running) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two takes that are there before the page is opened."""
    return studio.make("calm piano", seed=1, tags=["sketch"]), studio.make("loud drums and brass", seed=2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install it, or name its file in CADENZA_CHROMIUM")
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, studio: Running) -> Iterator[Callable[..., Page]]:
    """Opens the page; afterwards nothing may have gone wrong in it, and nothing may have left this machine."""
    contexts, wrong = [], []

    def look(address: str) -> None:
        if not address.startswith((studio.address, "blob:", "data:")):
            wrong.append(f"asked for {address}")

    def visit(width: int = 1280, height: int = 900, theme: Any = "light", quiet: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, has_touch=width < 500
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(PATIENCE * 1000)
        page = context.new_page()
        page.on("request", lambda request: look(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        if quiet:
            page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(studio.address)
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not wrong


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("CADENZA_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"studio_{name}.png")


def listed(page: Page, take: dict[str, Any]) -> Any:
    return page.locator(f"[data-take='{take['id']}']")


def newest(studio: Running) -> dict[str, Any]:
    found: dict[str, Any] = studio.get("/v1/generations?limit=1")["items"][0]
    return found


def ask(page: Page, text: str, seconds: float) -> None:
    page.get_by_label("What should it sound like?").fill(text)
    page.get_by_label("Length", exact=True).fill(str(seconds))
    page.get_by_role("button", name=re.compile("Generate")).click()


def test_a_piece_is_asked_for_watched_and_heard(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    ask(page, "warm lo-fi beat with electric piano, 82 bpm", 3)
    job = page.locator(".job")
    expect(job).to_contain_text("warm lo-fi beat")
    # It is heard while it is made: the sound begins before the job is over.
    wait_for(lambda: page.evaluate("performance.getEntriesByName('first audio').length"), "the first sound")
    delay = page.evaluate("performance.getEntriesByName('first audio')[0].duration")
    print(f"first audio after {delay:.0f} ms")
    expect(page.locator("#player-title")).to_have_text("warm lo-fi beat with electric piano, 82 bpm")
    expect(page.locator("#now")).not_to_have_text("0:00.0")
    picture(page, "arriving")
    made = newest(studio)
    take = page.locator(f"[data-take='{made['items'][0]}']")
    expect(take).to_contain_text("0:03.0")
    expect(job).to_have_count(0)
    shades = """() => {
        const canvas = document.getElementById("spectrum");
        return new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size;
    }"""
    wait_for(lambda: page.evaluate(shades) > 30, "the spectrogram")
    assert made["asked"]["seed"] == int(page.locator("#seed").input_value())
    # All of it is heard in the end.
    wait_for(lambda: page.locator("#play").get_attribute("aria-label") == "Play", "the end of the piece")
    expect(page.locator("#now")).to_have_text("0:03.0")


def test_what_is_stopped_is_kept(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    ask(page, "endless drone", 120)
    wait_for(lambda: newest(studio)["seconds_made"] > 0, "its first sound")
    expect(page.locator(".job")).to_contain_text("left")
    page.get_by_role("button", name=re.compile("Stop, and keep")).click()
    take = page.locator(".take", has_text="endless drone")
    expect(take).to_contain_text("stopped early")
    found = newest(studio)
    assert found["status"] == "cancelled" and 0 < found["takes"][0]["duration"] < 120
    take.get_by_role("button", name="Play endless drone").click()
    expect(page.locator("#total")).not_to_have_text("2:00.0")


def test_a_take_goes_on(visit: Callable[..., Page], studio: Running, pair: Any) -> None:
    page = visit()
    row = listed(page, pair[0])
    row.get_by_role("button", name="More about calm piano").click()
    row.get_by_role("button", name="Go on from it").click()
    expect(page.get_by_label("What should it sound like?")).to_be_focused()
    page.get_by_label("New music").fill("1")
    expect(page.locator("#duration-note")).to_contain_text("with what it goes on from")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".job")).to_have_count(1)
    asked = newest(studio)["asked"]
    assert asked["prompt"] == pair[0]["id"] and asked["text"] == "calm piano"
    assert asked["duration"] == pytest.approx(pair[0]["duration"] + 1)
    take = page.locator(f"[data-take='{newest(studio)['items'][0]}']")
    expect(take).to_contain_text("0:02.5")


def test_a_melody_is_hummed(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    page.get_by_role("button", name="Hum it").click()
    wait_for(lambda: page.locator("#hum-time").text_content() > "0:02.0", "two seconds of humming")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#melody-chip")).to_contain_text("hummed melody")
    ask(page, "flute and strings", 1)
    expect(page.locator(".job")).to_have_count(1)
    asked = newest(studio)["asked"]
    assert asked["melody"]
    expect(page.locator(".take", has_text="flute and strings")).to_have_count(1)


def test_a_long_piece_has_a_timeline(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    page.get_by_role("button", name="Timeline").click()
    page.get_by_label("Part 1, words").fill("calm piano")
    page.get_by_label("Part 2 begins at, seconds").fill("60")
    page.get_by_label("Part 2, words").fill("drums enter")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#text-error")).to_contain_text("make it longer")
    page.get_by_label("Part 2 begins at, seconds").fill("1")
    page.get_by_label("Length", exact=True).fill("2")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".job")).to_contain_text("calm piano → drums enter")
    assert newest(studio)["asked"]["text"] == [[0, "calm piano"], [1, "drums enter"]]
    expect(page.locator(".job")).to_have_count(0)


def test_hints_dice_and_sampling_are_asked_for_as_they_were_chosen(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    text, seed = page.get_by_label("What should it sound like?"), page.locator("#seed")
    page.get_by_role("button", name="Genres").click()
    genre = page.locator("#words button").first.text_content()
    page.locator("#words button").first.click()
    page.get_by_role("button", name="Instruments").click()
    page.locator("#words button").first.click()
    assert text.input_value().startswith(f"{genre}, ")
    text.fill("slow music for an acc")
    page.locator("#words button", has_text="accordion").click()
    expect(text).to_have_value("slow music for an accordion")
    rolled = set()
    for _ in range(3):
        page.get_by_role("button", name="Roll a new seed").click()
        rolled.add(seed.input_value())
    assert len(rolled) == 3
    page.get_by_role("button", name="Keep this seed").click()
    kept = seed.input_value()
    page.locator("#more summary").click()
    chosen = {"Guidance": 2.5, "Temperature": 0.8, "Top k": 40, "Tempo": 96}
    for label, value in chosen.items():
        page.locator("#more").get_by_label(label).fill(str(value))
    page.get_by_label("Length", exact=True).fill("1")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".job")).to_have_count(1)
    asked = newest(studio)["asked"]
    assert [asked[name] for name in ("guidance", "temperature", "top_k")] == [2.5, 0.8, 40]
    assert (asked["plan"]["tempo_bpm"], asked["seed"]) == (96, int(kept))
    expect(page.locator(".job")).to_have_count(0)
    assert seed.input_value() == kept


def test_several_variations_at_once_have_seeds_that_count_up(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    page.locator("#seed").fill("41")
    page.get_by_role("button", name="One variation more").click()
    ask(page, "two ways of it", 1)
    expect(page.locator(".take", has_text="two ways of it")).to_have_count(2)
    found = newest(studio)
    assert [take["seed"] for take in found["takes"]] == [41, 42]
    assert page.locator("#seed").input_value() == "41"  # locked since it was written


def test_several_jobs_are_followed_to_their_ends(visit: Callable[..., Page]) -> None:
    page = visit()
    for name in ("one of three", "two of three", "three of three"):
        ask(page, name, 1.5)
        expect(page.locator(".job", has_text=name)).to_be_visible()
    expect(page.locator(".take", has_text=re.compile("(one|two|three) of three"))).to_have_count(3)
    expect(page.locator(".job")).to_have_count(0)


def test_what_runs_is_found_again_after_a_reload(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    ask(page, "a march that goes on", 90)
    wait_for(lambda: newest(studio)["seconds_made"] > 0, "its first sound")
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    expect(page.locator(".job")).to_contain_text("a march that goes on")
    page.get_by_role("button", name="Hear it").click()
    expect(page.locator("#now")).not_to_have_text("0:00.0")
    page.get_by_role("button", name=re.compile("Stop, and keep")).click()
    expect(page.locator(".take", has_text="a march that goes on")).to_contain_text("stopped early")


def test_the_server_is_killed_and_started_again_in_the_middle(visit: Callable[..., Page], studio: Running) -> None:
    page = visit(quiet=False)  # a connection that breaks is an error in the console
    ask(page, "it comes back", 4)
    wait_for(lambda: newest(studio)["seconds_made"] > 0, "its first sound")
    studio.end(signal.SIGKILL)
    expect(page.locator("#connection")).to_contain_text("away")
    studio.start()
    expect(page.locator("#connection")).not_to_contain_text("away")
    expect(page.locator(".take", has_text="it comes back")).to_contain_text("0:04.0")
    expect(page.locator("#player-facts")).not_to_contain_text("arriving")
    expect(page.locator("#total")).to_have_text("0:04.0")


def test_two_takes_are_compared_at_one_loudness(visit: Callable[..., Page], pair: Any) -> None:
    page = visit()
    first, second = pair
    listed(page, first).get_by_role("button", name="Play").first.click()
    expect(page.locator("#player-title")).to_have_text("calm piano")
    listed(page, second).get_by_role("button", name="More about").click()
    listed(page, second).get_by_role("button", name="Compare").click()
    expect(page.get_by_role("button", name="B: loud drums and brass")).to_have_attribute("aria-pressed", "true")
    levels = page.evaluate("import('/static/studio/player.js').then((player) => player.levels())")
    difference = 10 ** ((min(first["loudness_lufs"], second["loudness_lufs"]) - first["loudness_lufs"]) / 20)
    assert levels["A"] == pytest.approx(difference, rel=1e-6) and max(levels.values()) == pytest.approx(1)
    page.locator("body").press("x")
    expect(page.get_by_role("button", name="A: calm piano")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#player-title")).to_have_text("calm piano")
    page.get_by_role("button", name="Match loudness").click()
    levels = page.evaluate("import('/static/studio/player.js').then((player) => player.levels())")
    assert levels == {"A": 1, "B": 1}


def test_a_part_is_looped_by_keys_and_by_dragging(visit: Callable[..., Page], pair: Any) -> None:
    page = visit()
    listed(page, pair[0]).get_by_role("button", name="Play").first.click()
    expect(page.locator("#total")).to_have_text("0:01.5")
    page.locator("body").press("l")
    expect(page.get_by_role("button", name="Loop", exact=True)).to_have_attribute("aria-pressed", "true")
    if page.locator("#play").get_attribute("aria-label") == "Play":  # it had ended before
        page.locator("#play").click()
    time.sleep(2)  # longer than the piece: it goes on
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.locator("#wave").scroll_into_view_if_needed()  # the list of takes may be long
    box = page.locator("#wave").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50, steps=8)
    page.mouse.up()
    part = page.get_by_role("button", name=re.compile("Loop all again"))
    expect(part).to_contain_text(re.compile(r"0:00\.[34] to 0:00\.[78]"))
    part.click()
    expect(part).to_be_hidden()
    page.locator("#player-title").press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    page.locator("#wave").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#wave")).to_have_attribute("aria-valuenow", "1.0")


def test_the_library_stars_tags_names_searches_and_takes_back(visit: Callable[..., Page], studio: Running) -> None:
    take = studio.make("to be sorted", 1.0, seed=5)
    page = visit()
    row = listed(page, take)
    row.get_by_role("button", name="Star to be sorted").click()
    row.get_by_role("button", name="More about to be sorted").click()
    row.get_by_label("Tags").fill("keeper")
    row.get_by_label("Tags").press("Enter")
    expect(row.get_by_role("button", name="Take the tag keeper away")).to_be_visible()
    row.get_by_label("Name", exact=True).fill("sorted now")
    row.get_by_label("Name", exact=True).press("Enter")
    expect(row.locator(".title")).to_have_text("sorted now")
    kept = studio.get(f"/v1/takes/{take['id']}")
    assert (kept["starred"], kept["tags"], kept["title"]) == (True, ["keeper"], "sorted now")
    page.get_by_label("Search takes").fill("sorted")
    expect(page.locator(".take:visible")).to_have_count(1)
    page.get_by_label("Search takes").fill("no such thing")
    expect(page.locator("#takes-empty")).to_have_text("No take is like that.")
    page.get_by_label("Search takes").fill("")
    row.get_by_role("button", name="Delete sorted now").click()
    expect(row).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="More about sorted now").click()
    row.get_by_role("button", name="Delete sorted now").click()
    wait_for(lambda: httpx.get(f"{studio.address}/v1/takes/{take['id']}").status_code == 404, "its end")


def test_settings_come_back_and_files_are_saved(
    visit: Callable[..., Page], studio: Running, pair: Any, tmp_path: Path
) -> None:
    page = visit()
    row = listed(page, pair[0])
    row.get_by_role("button", name="More about").click()
    for name, head in {"WAV": b"RIFF", "FLAC": b"fLaC", "OPUS": b"OggS", "MP3": b""}.items():
        with page.expect_download() as started:
            row.get_by_role("link", name=f"Download calm piano as {name}").click()
        started.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(head) and (tmp_path / name).stat().st_size > 1000
    row.get_by_role("button", name="Its settings").click()
    expect(page.get_by_label("What should it sound like?")).to_have_value("calm piano")
    assert (page.locator("#seed").input_value(), page.locator("#duration").input_value()) == ("1", "1.5")
    # The same from a file that was saved: it carries its settings.
    page.get_by_label("What should it sound like?").fill("something else")
    page.locator("#restore-file").set_input_files(
        {"name": "take.flac", "mimeType": "audio/flac", "buffer": (tmp_path / "FLAC").read_bytes()}
    )
    expect(page.get_by_label("What should it sound like?")).to_have_value("calm piano")


def test_a_melody_that_was_brought_is_heard_again_and_may_be_gone(
    visit: Callable[..., Page], studio: Running, tmp_path: Path
) -> None:
    hum = noise(1.5, 16000).write(tmp_path / "hum.wav")
    with hum.open("rb") as file:
        sent = httpx.post(f"{studio.address}/v1/uploads", files={"file": ("hum.wav", file)}, timeout=PATIENCE).json()
    row = studio.make("follows a hum", 1.0, melody=sent["id"])
    page = visit(quiet=False)  # what is not there any more is an error in the console
    listed(page, row).get_by_role("button", name="More about").click()
    listed(page, row).get_by_role("button", name="Its settings").click()
    expect(page.locator("#melody-chip")).to_contain_text("hum.wav")
    expect(page.locator("#melody-chip")).to_contain_text("0:01.5")
    with page.expect_response(lambda answer: answer.url.endswith(f"/v1/uploads/{sent['id']}/audio")) as heard:
        page.get_by_role("button", name="Hear hum.wav").click()
    assert heard.value.status in (200, 206)
    httpx.delete(f"{studio.address}/v1/uploads/{sent['id']}").raise_for_status()
    listed(page, row).get_by_role("button", name="Its settings").click()
    expect(page.locator("#toasts")).to_contain_text("its melody is no longer kept")
    expect(page.locator("#melody-chip")).to_be_hidden()


def test_a_take_is_dragged_out_of_the_page_and_onto_the_melody(visit: Callable[..., Page], pair: Any) -> None:
    """What a desktop is given to save, and that it is the file."""
    page = visit()
    row = listed(page, pair[0])
    page.evaluate(
        """() => document.addEventListener("dragstart", (event) => {
             const given = event.dataTransfer;
             window.dragged = {effect: given.effectAllowed};
             for (const kind of ["DownloadURL", "text/uri-list"]) window.dragged[kind] = given.getData(kind);
           })"""
    )
    row.get_by_role("button", name="More about").click()
    melody = page.locator("#field-melody")
    for source, kind, head in (
        (row.locator("canvas"), "audio/wav", b"RIFF"),
        (row.get_by_role("link", name="Download calm piano as FLAC"), "audio/flac", b"fLaC"),
    ):
        page.evaluate("() => { delete window.dragged; }")
        source.drag_to(melody)
        dragged = page.evaluate("window.dragged")
        form = kind.removeprefix("audio/")
        given, name, address = dragged["DownloadURL"].split(":", 2)
        assert (given, name, dragged["effect"]) == (kind, f"calm piano 1.{form}", "copy")
        assert dragged["text/uri-list"] == address
        saved = httpx.get(address, timeout=PATIENCE).raise_for_status()
        assert saved.content.startswith(head) and saved.headers["content-type"] == kind
        assert f"calm-piano-1.{form}" in saved.headers["content-disposition"]
        expect(page.locator("#melody-chip")).to_contain_text("calm piano")
        page.get_by_role("button", name="No melody").click()


def test_mistakes_are_said_where_they_belong(visit: Callable[..., Page]) -> None:
    page = visit(quiet=False)  # what the server refuses is an error in the console
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#text-error")).to_contain_text("Say what it should sound like")
    expect(page.get_by_label("What should it sound like?")).to_be_focused()
    ask(page, "piano", 1e6)
    expect(page.locator("#duration-error")).to_contain_text("At most 10 min")
    page.get_by_label("Length", exact=True).fill("2")
    page.locator("#more summary").click()
    page.get_by_label("Tempo").fill("5")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#tempo_bpm-error")).not_to_be_empty()
    expect(page.get_by_label("Tempo")).to_have_attribute("aria-invalid", "true")


def test_a_model_is_unloaded_and_loaded(visit: Callable[..., Page], studio: Running) -> None:
    page = visit()
    page.locator("#models-open").click()
    page.get_by_role("button", name="Unload cadenza-embedded").click()
    expect(page.get_by_role("button", name="Load cadenza-embedded", exact=True)).to_be_visible()
    assert not studio.get("/v1/health")["ready"]
    page.get_by_role("button", name="Load cadenza-embedded", exact=True).click()
    expect(page.get_by_role("button", name="Unload cadenza-embedded")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#models")).to_be_hidden()


def test_a_studio_with_keys_asks_for_one(browser: Browser, tmp_path: Path) -> None:
    key = "k" * 40
    (tmp_path / "keys").write_text(f"{key}\n")
    (tmp_path / "keys").chmod(0o600)
    guarded = Running(tmp_path / "library", tmp_path / "keys")
    context = browser.new_context()
    try:
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(PATIENCE * 1000)
        page = context.new_page()
        page.goto(guarded.address)
        page.get_by_label("Your key").fill("wrong")
        page.get_by_role("button", name="Enter").click()
        expect(page.locator("#session-error")).not_to_be_empty()
        page.get_by_label("Your key").fill(key)
        page.get_by_role("button", name="Enter").click()
        expect(page.locator("#session")).to_be_hidden()
        expect(page.locator("#model-name")).to_have_text("cadenza-embedded")
        page.reload()  # the cookie stays
        expect(page.locator("#model-name")).to_have_text("cadenza-embedded")
        expect(page.locator("#session")).to_be_hidden()
    finally:
        context.close()
        guarded.end()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_it_fits_every_width_in_both_themes(visit: Callable[..., Page], pair: Any, width: int, theme: str) -> None:
    page = visit(width, 800 if width < 500 else 960, theme, quiet=False)  # axe-core tries styles that are refused
    listed(page, pair[0]).get_by_role("button", name="Play").first.click()
    expect(page.locator("#total")).to_have_text("0:01.5")
    listed(page, pair[0]).get_by_role("button", name="More about").click()
    page.locator("#more").evaluate("(more) => { more.open = true; }")
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    cut = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not(.sr), select, a, textarea")].filter((node) => {
             const box = node.getBoundingClientRect();
             return box.width && !node.matches(".skip") && (box.right > innerWidth + 0.5 || box.left < -0.5);
           }).map((node) => node.outerHTML.slice(0, 90))"""
    )
    assert not cut
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) > 380) is (theme == "light")
    check_accessibility(page)


def check_accessibility(page: Page) -> None:
    """Every control has a name; with axe-core at hand, all of its rules."""
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, textarea")].filter((node) => {
             const named = node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length;
             return node.checkVisibility() && !named;
           }).map((node) => node.outerHTML)"""
    )
    assert not nameless
    if axe := os.environ.get("CADENZA_AXE"):
        page.evaluate(f"{Path(axe).read_text()};0")
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        assert not found, [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]


def test_the_theme_is_chosen_and_remembered(visit: Callable[..., Page]) -> None:
    page = visit(theme="light")
    button = page.locator("#theme")
    button.click()
    button.click()
    expect(button).to_have_attribute("aria-label", "Theme: dark")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_whole_visit_needs_no_mouse(visit: Callable[..., Page], pair: Any) -> None:
    page = visit()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("g")
    expect(page.get_by_label("What should it sound like?")).to_be_focused()
    page.keyboard.type("by hand")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".job")).to_have_count(1)
    page.get_by_role("button", name=re.compile("Stop, and keep")).press("Enter")
    expect(page.locator(".job")).to_have_count(0)
    page.locator("#takes").press("/")
    expect(page.get_by_label("Search takes")).to_be_focused()
