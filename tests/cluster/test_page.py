"""The page in a browser, as a user meets it: of a run that was swept over a dataset whose names
mean harm.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from processes import wait_until
from support import apc_bench, make_category

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
HARM = "<script>window.harm=1<script>"
TITLE = f"APC \"q\" 'z' <img src=x onerror=window.harm=1> ../../{HARM}"
ONE = ", one of 2; the answer is over all"
"""Said after the seed of a trial whose pictures are shown."""
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

pytestmark = pytest.mark.skipif(
    not CHROMIUM.is_file(), reason=f"no {CHROMIUM}: install Debian's chromium to test the page"
)


@pytest.fixture(scope="module")
def report(place: Path) -> Path:
    """The report of a real sweep over two categories, with two methods, two numbers of shots and
    two seeds.
    """
    data = place / "data <b> ünd ' leer"
    for category, train in (("bracket", 8), ("weave", 24)):  # 24: enough for a calibrated threshold
        make_category(data, category, train=train, good=6, defects=8)
    folder = data / "bracket"
    for old, new in (
        ("000", f"{HARM}"),
        ("001", "ä ö ü 'q' \"d\""),
        ("002", "..%2f..%2fetc"),
        ("003", "a&amp;b #1 ?x=1"),
    ):
        for kind in ("train/good", "test/good", "test/dent"):
            (folder / kind / f"{old}.png").rename(folder / kind / f"{new}.png")
        (folder / "ground_truth/dent" / f"{old}_mask.png").rename(
            folder / "ground_truth/dent" / f"{new}_mask.png"
        )
    job = yaml.safe_load(Path("jobs/tiny.yaml").read_text()) | {"shots": [1, 2]}
    del job["synthetic"]
    job["methods"]["apc"]["title"] = TITLE
    file = place / "job.yaml"
    file.write_text(yaml.safe_dump(job, allow_unicode=True, sort_keys=False), encoding="utf-8")
    apc_bench(
        "sweep",
        "--job",
        file,
        "--data",
        data,
        "--run",
        place / "run",
        "--executor",
        "serial",
        "--device",
        "cpu",
    )
    return place / "run" / "report" / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield started
        started.close()


def until(page: Page, expression: str, argument: object = None) -> None:
    """Waits for the expression to come true. Asked from here: the browser's own waiting evaluates
    text, which the page's policy forbids.
    """
    assert wait_until(lambda: bool(page.evaluate(expression, argument)), 30), expression


@pytest.fixture
def visit(browser: Browser) -> Iterator[Any]:
    """Opens a page; at the end nothing was complained about, asked of the network, or run that is
    not the page's own.
    """
    pages: list[Page] = []
    complaints: list[str] = []
    asked: list[str] = []

    def open_(path: Path, width: int = 1280, scheme: str = "light", place: str = "") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + place)
        pages.append(page)
        return page

    yield open_
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [
        page.url.partition("#")[0] for page in pages
    ]
    for page in pages:
        assert page.evaluate("window.harm") is None
        page.close()


def unloaded(page: Page) -> list[str]:
    found: list[str] = page.evaluate("""async () => {
            const images = [...document.images];
            await Promise.all(images.map((one) => one.decode().catch(() => null)));
            return images.filter((one) => !one.naturalWidth).map((one) => one.alt);
        }""")
    return found


def too_wide(page: Page) -> list[str]:
    """What reaches beyond the window, other than inside something that scrolls."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
            && !one.closest(".scroll, pre, svg")).map((one) => one.outerHTML.slice(0, 100))"""
    )
    return found + (
        ["the page"] if page.evaluate("document.documentElement.scrollWidth > innerWidth") else []
    )


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_from_a_table_cell_to_an_image_and_its_nearest_normal_patch_by_clicks(
    report: Path, visit: Any, width: int, scheme: str
) -> None:
    page = visit(report, width, scheme)
    assert unloaded(page) == []
    assert too_wide(page) == []
    row = page.locator("#per_category tbody tr", has_text="weave").first
    row.locator("td a").last.click()
    trial = page.locator("#trial")
    assert trial.locator("h3").first.inner_text() == f"weave · {TITLE}, 2 shots · seed 0{ONE}"
    assert page.locator("#images").evaluate(
        "(one) => Math.abs(one.getBoundingClientRect().top) < innerHeight"
    )
    assert trial.locator(".charts figure").count() == 3 + 4
    case = trial.locator(".case").first
    assert case.locator(".frame").count() == 6
    assert "nearest normal patch: train/good/" in case.locator(".nearest figcaption").inner_text()
    assert (
        case.locator(".nearest img").evaluate("(one) => one.decode().then(() => one.naturalWidth)")
        > 30
    )
    assert unloaded(page) == []
    assert too_wide(page) == []


def test_every_link_to_images_leads_to_a_trial_with_images(report: Path, visit: Any) -> None:
    page = visit(report)
    links = set(
        page.locator("a[href^='#images/']").evaluate_all(
            "(all) => all.map((one) => one.getAttribute('href'))"
        )
    )
    assert len(links) >= 2 * 3  # every category and system at least
    for link in sorted(links):
        page.evaluate("(link) => { location.hash = link; }", link)
        until(
            page, "(link) => `#images/${choices.map((one) => one.value).join('/')}` === link", link
        )
        assert page.locator("#trial .case").count() == 6
        assert unloaded(page) == []


def test_the_choices_lead_to_every_trial_and_back(report: Path, visit: Any) -> None:
    page = visit(report, place="#images/0/0/1")
    assert page.locator("#trial h3").first.inner_text() == f"bracket · PatchCore · seed 1{ONE}"
    assert (
        page.locator("#trial line.threshold").count() == 0
    )  # eight training images calibrate nothing
    page.locator("#choose-category").select_option("weave")
    page.locator("#choose-seed").select_option("0")
    heading = "(text) => document.querySelector('#trial h3').textContent === text"
    until(page, heading, f"weave · PatchCore · seed 0{ONE}")
    assert page.locator("#trial line.threshold").count() == 1
    page.go_back()
    until(page, heading, f"weave · PatchCore · seed 1{ONE}")


def test_a_detector_without_a_memory_bank_says_so(report: Path, visit: Any) -> None:
    page = visit(report, place="#images/0/0/1")
    page.evaluate(
        "() => { for (const one of categoryData('0').trials['0-1'].images) one.nearest = null;"
        " follow(); }"
    )
    words = page.locator("#trial .case .nearest .words").all_inner_texts()
    assert words == ["no nearest patch: this detector keeps no memory bank"] * 6


def test_names_are_shown_as_they_are(report: Path, visit: Any) -> None:
    page = visit(report, place="#images/0/1/0")
    names = set()
    for system in range(3):
        for seed in (0, 1):
            page.evaluate("(link) => { location.hash = link; }", f"#images/0/{system}/{seed}")
            until(
                page,
                "(end) => location.hash.endsWith(end) && choices[2].value === end[2]",
                f"{system}/{seed}",
            )
            names |= set(page.locator("#trial .case h4 span").all_inner_texts())
    assert any(HARM in name for name in names)
    assert any("ä ö ü 'q' \"d\"" in name for name in names)
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("script:not([type])").count() == 1


def test_tables_sort_by_mouse_and_keyboard(report: Path, visit: Any) -> None:
    page = visit(report)
    head = page.locator("#poster th", has_text="AUROC_im")
    column = head.evaluate("(one) => one.cellIndex")

    def shown() -> list[float]:
        cells = page.locator("#poster tbody").first.locator(f"td:nth-child({column + 1})")
        return [float(text.split()[0]) for text in cells.all_inner_texts()]

    before = shown()
    head.get_by_role("button").click()
    assert (shown(), head.get_attribute("aria-sort")) == (
        sorted(before, reverse=True),
        "descending",
    )
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert (shown(), head.get_attribute("aria-sort")) == (sorted(before), "ascending")
    cell = page.locator("#gains td a").first
    cell.focus()
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id === 'images'")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose-category"
    page.locator("#per_category th", has_text="Category").get_by_role("button").press("Space")
    first = page.locator("#per_category tbody").first.locator("td:first-child").all_inner_texts()
    assert first == sorted(first)


def test_tables_filter_by_words(report: Path, visit: Any) -> None:
    page = visit(report)
    table = page.locator("#gains")
    table.get_by_label("Filter rows").fill("weave auroc_px")
    assert [row.split("\t")[:2] for row in table.locator("tbody tr:visible").all_inner_texts()] == [
        ["weave", "AUROC_px"]
    ]
    assert table.locator("output").inner_text() == "1 of 4 rows"
    table.get_by_label("Filter rows").fill("")
    assert table.locator("tbody tr:visible").count() == 4


def test_the_page_alone_is_whole(report: Path, visit: Any, tmp_path: Path) -> None:
    alone = tmp_path / "sent by mail.html"
    alone.write_bytes(report.read_bytes())
    page = visit(alone, place="#images/1/1/0")
    assert page.locator("#trial .case").count() == 6
    assert unloaded(page) == []


def test_without_the_images_their_names_stand_in_their_places(
    report: Path, visit: Any, tmp_path: Path
) -> None:
    apc_bench("report", report.parent.parent, "--without-images", "--out", tmp_path / "bare")
    page = visit(tmp_path / "bare" / "index.html", 390, place="#images/1/2/0")
    case = page.locator("#trial .case").first
    name = case.locator("h4 span").inner_text().split(" · ")[0]
    assert case.locator(".words").all_inner_texts()[0].split("\n") == ["image not at hand", name]
    assert (
        case.locator(".words").count() == 4
    )  # image, mask and the two patches; the maps are the run's
    assert case.locator("img").count() == 2
    assert unloaded(page) == []
    assert too_wide(page) == []


def test_dark_and_light_differ_and_print_is_dark_on_light(report: Path, visit: Any) -> None:
    def brightness(page: Page) -> float:
        png = page.screenshot()
        return float(np.asarray(Image.open(io.BytesIO(png)).convert("L")).mean())

    light, dark = visit(report, scheme="light"), visit(report, scheme="dark")
    assert brightness(light) > 200
    assert brightness(dark) < 60
    dark.emulate_media(media="print")
    assert brightness(dark) > 200
    assert dark.locator(".filter").first.is_hidden()
