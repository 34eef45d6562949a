"""The page in a real browser: every part is used, by pointer and by keyboard alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import mnist1d_hf
from tests.hub.server import HubServer
from tests.publishing.conftest import client_of, command

PARTS = ("signal", "draw", "game", "train")
NETWORKS = ("logistic", "mlp", "cnn", "gru", "resnet")
SIGNALS, LABELS = mnist1d_hf.sample(range(20), seed=1)  # those of the game


def lines(page, place):
    """The curves that are drawn in a place."""
    return page.locator(f"{place} path.line").evaluate_all("paths => paths.map(path => path.getAttribute('d'))")


def fragment(page, *expected):
    """The part of the address after the page, once it holds what is expected."""
    page.wait_for_function("words => words.every(word => location.hash.includes(word))", arg=list(expected))
    return page.evaluate("location.hash")


def bayes(page):
    """Wait until Bayes' rule, which is computed beside the page, has been told."""
    page.wait_for_function("() => /Bayes \\d/.test(document.querySelector('main section:not([hidden])').textContent)")


# 1. From template to signal


SLIDERS = {  # name -> a value, and the first step that it changes
    "padding": (60, 1),
    "scale": (1.2, 3),
    "translation": (3, 4),
    "corr": (0.3, 5),
    "iid": (0.05, 6),
    "shear": (-0.3, 7),
}


def test_a_slider_moves_its_step_and_the_later_ones(visit):
    page = visit()
    for name, (value, step) in SLIDERS.items():
        before = lines(page, "#stages"), lines(page, "#final-chart")
        assert len(before[0]) == 9
        page.locator(f"#field-{name}").fill(str(value))
        fragment(page, f"{name}={value}")
        after = lines(page, "#stages"), lines(page, "#final-chart")
        assert before[1] != after[1], name
        assert before[0][:step] == after[0][:step], name
        assert all(old != new for old, new in zip(before[0][step:], after[0][step:], strict=True)), name
        page.locator("#signal-reset").click()
        page.wait_for_function("location.hash === ''")


def test_the_digit_and_the_noise_change_the_samples(visit):
    page = visit()
    page.wait_for_selector("#samples svg")
    rows = lines(page, "#samples")
    assert len(rows) == 100
    page.locator("#field-corr").fill("0")
    fragment(page, "corr=0")
    page.wait_for_function("old => document.querySelector('#samples path').getAttribute('d') !== old", arg=rows[0])
    page.get_by_label("digit 7", exact=True).check()
    expect(page.locator("#stages li").first).to_contain_text("digit 7")
    bayes(page)
    expect(page.locator("#final-say li")).to_have_text(
        [re.compile(f"{name} \\d [✓✗]") for name in (*NETWORKS, "Bayes")]
    )


# 2. Draw


def draw(page, heights, low=-0.8, high=0.8):
    """Move the pointer through these heights, from left to right."""
    box = page.locator("#canvas").bounding_box()
    for i, height in enumerate(np.asarray(heights).tolist()):
        x = box["x"] + (i + 0.5) / len(heights) * box["width"]
        y = box["y"] + (high - height) / (high - low) * box["height"]
        page.mouse.move(x, y)
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def test_a_drawn_digit_is_read(visit):
    page = visit("#part=draw")
    for digit in (3, 6):
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#draw-status")).to_have_text("Nothing is drawn yet.")
        template = mnist1d_hf.get_templates()["x"][digit]
        draw(page, template)
        bayes(page)
        for name in ("cnn", "gru", "resnet", "Bayes"):
            expect(page.locator(f"[data-reader={name}] b")).to_have_text(str(digit))
        drawn = fragment(page, "drawn=").partition("drawn=")[2].partition("&")[0]
        assert np.abs(np.array(drawn.split(","), float) / 100 - template).max() < 0.03
    before = lines(page, "#draw-signal")
    page.get_by_role("button", name="Other random numbers").click()
    fragment(page, "luck=")
    assert lines(page, "#draw-signal") != before


def test_a_signal_is_taken_as_it_is(visit):
    page = visit("#part=draw")
    bayes(page)
    page.get_by_label("the signal itself").check()
    fragment(page, "way=direct")
    mean, std = mnist1d_hf.standardization()
    draw(page, SIGNALS[0] * std + mean)
    bayes(page)
    expect(page.locator("[data-reader=resnet] b")).to_have_text(str(LABELS[0]))
    page.get_by_text("The heights as numbers").click()
    page.get_by_label("height of point 40").fill("0.5")
    page.keyboard.press("Tab")
    assert re.search(r",50(&|$)", fragment(page, ",50"))


# 3. The game


def test_the_game_counts(visit):
    """Eighteen right answers, by keys and by clicks, and two wrong ones; the others' scores are those of Python."""
    page = visit("#part=game")
    answers = [(label + 1) % 10 if i in (4, 11) else label for i, label in enumerate(LABELS.tolist())]
    for i, digit in enumerate(answers):
        if i % 2:
            page.keyboard.press(str(digit))
        else:
            page.locator(f"#game-digits [data-digit='{digit}']").click()
        if i < 19:
            expect(page.locator("#game-number")).to_contain_text(f"Signal {i + 2} of 20")
    expect(page.locator("tr.you")).to_contain_text("18 of 20")
    missed = page.locator(".missed .panel")
    assert [
        f"you said {answers[i]}, it was {LABELS[i]}" in missed.nth(k).inner_text() for k, i in enumerate((4, 11))
    ] == [True] * 2
    bayes(page)
    scores = dict(
        page.locator("#game-result tr").evaluate_all(
            "rows => rows.map(row => [row.cells[0].textContent, row.cells[1].textContent])"
        )
    )
    right = int((mnist1d_hf.posterior(SIGNALS).argmax(1) == LABELS).sum())
    assert scores["Bayes"] == f"{right} of 20"
    assert scores["the paper's human"] == "19.2 of 20"
    for name in NETWORKS:
        logits = mnist1d_hf.load_pretrained(name)(torch.from_numpy(SIGNALS)).logits
        right = int((logits.argmax(1).numpy() == LABELS).sum())
        assert scores[name] == f"{right} of 20", name
    page.get_by_role("button", name="New signals").click()
    expect(page.locator("#game-number")).to_have_text("Signal 1 of 20, 0 right so far")


# 4. Training


def test_training_passes_90_percent(visit):
    page = visit("#part=train&rate=0.02")  # faster than the usual one
    page.get_by_role("button", name="Start").click()
    figures = page.locator("#train-figures dd")
    expect(figures.nth(3)).to_have_text(re.compile(r"[\d.]+ s"), timeout=60_000)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(1000)  # the report of the steps that were under way
    accuracy, steps = figures.nth(0).inner_text(), figures.nth(1).inner_text()
    page.wait_for_timeout(1000)
    assert float(accuracy.split("\u202f")[0]) > 85
    assert figures.nth(1).inner_text() == steps
    expect(page.locator("#train-mistakes div").first).to_contain_text("read as")


def test_settings_begin_anew(visit):
    page = visit("#part=train&net=mlp&width=50&steps=200")
    expect(page.locator("#train-figures dd").nth(1)).to_have_text("200")
    page.get_by_label("Learning rate").select_option("0.001")
    expect(page.locator("#train-figures dd").nth(1)).to_have_text("–")
    page.get_by_label("CNN:").check()
    expect(page.get_by_label("Width")).to_have_value("25")


# The address


STATES = {
    "signal": "#digit=5&padding=40&scale=1.1&translation=7&corr=0.4&iid=0.05&shear=-0.2&seed=99&look=3",
    "draw": "#part=draw&drawn=0,-20,-40,-40,-20,0,0,-20,-40,-40,-20,5&luck=12",
    "game": "#part=game&game=5&answers=01234567890123456789",
    "train": "#part=train&net=mlp&width=25&rate=0.003&samples=1000&init=4&steps=150",
}


@pytest.mark.parametrize("part", PARTS)
def test_the_address_restores_the_state(visit, part):
    """What one window came to by itself, another shows from its address."""

    def picture(page):
        if part == "train":
            expect(page.locator("#train-figures dd").nth(1)).to_have_text("150")
            return lines(page, "#train-accuracy"), lines(page, "#train-loss")
        bayes(page)
        page.wait_for_timeout(200)
        return page.locator(f"#{part}").evaluate("part => part.innerHTML")

    first = visit(STATES[part])
    expected = picture(first)
    first.locator(f"nav a[data-part={'draw' if part == 'game' else 'game'}]").click()
    first.go_back()
    expect(first.locator(f"#{part}")).to_be_visible()
    assert picture(first) == expected
    assert picture(visit(first.evaluate("location.hash"))) == expected


def test_an_edited_address_and_a_copied_one(visit):
    page = visit("#part=train&net=mlp&width=50&steps=50")
    steps = page.locator("#train-figures dd").nth(1)
    expect(steps).to_have_text("50")
    page.evaluate("location.hash = '#part=train&net=cnn&width=5&steps=100'")
    expect(steps).to_have_text("100")
    expect(page.get_by_label("Width")).to_have_value("5")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy a link").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()").endswith("/#part=train&width=5&steps=100")


def test_an_address_that_makes_no_sense_is_the_default(visit):
    page = visit("#part=nothing&digit=77&padding=abc&drawn=x&answers=12a&steps=-3&rate=1e9&toString=1")
    expect(page.locator("#signal")).to_be_visible()
    expect(page.locator("#field-padding")).to_have_value("48")
    expect(page.get_by_label("digit 9", exact=True)).to_be_checked()


# For everyone


def reach(page, selector, most=40):
    """Press Tab until the element that has the focus matches."""
    for _ in range(most):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {selector}")


def test_the_keyboard_alone_suffices(visit):
    page = visit()
    reach(page, "input[name=digit]")
    page.keyboard.press("ArrowRight")
    reach(page, "#field-shear")
    page.keyboard.press("ArrowLeft")
    reach(page, "#field-look")
    page.keyboard.press("End")
    fragment(page, "digit=4", "shear=0.195", "look=39")
    page.reload()
    reach(page, "nav a[data-part=draw]")
    page.keyboard.press("Enter")
    reach(page, "#canvas")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator("#canvas-hint")).to_have_text("Point 3 of 12: 0.65")
    page.reload()
    reach(page, "nav a[data-part=game]")
    page.keyboard.press("Enter")
    for label in LABELS:
        page.keyboard.press(str(label))
    expect(page.locator("tr.you")).to_contain_text("20 of 20")
    expect(page.locator("#game-result")).to_be_focused()
    page.reload()
    reach(page, "nav a[data-part=train]")
    page.keyboard.press("Enter")
    reach(page, "#train-start")
    page.keyboard.press("Enter")
    expect(page.locator("#train-figures dd").nth(1)).not_to_have_text("–")
    page.keyboard.press("Enter")
    expect(page.locator("#train-start")).to_have_text("Go on")


def test_the_rules_of_accessibility(visit):
    """axe-core finds nothing in any part, nor after the game; of what depends on colours, also nothing in the dark."""
    colours = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
    for state in (*STATES.values(), "#part=game&answers=3"):
        page = visit(state, reduced_motion="reduce")
        for scheme, options in {"light": {"resultTypes": ["violations"]}, "dark": colours}.items():
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page, options=options).response["violations"]
            assert [(item["id"], item["nodes"][0]["html"]) for item in found] == []


def test_a_phone_shows_all_of_it(visit):
    page = visit(viewport={"width": 360, "height": 740}, has_touch=True)
    for part in PARTS:
        page.locator(f"nav a[data-part={part}]").tap()
        expect(page.locator(f"#{part}")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 360, part


# As it is published


def test_the_published_space_works_under_its_path(visit):
    """From the files on a Hub, deep below its root; all that the page loads is less than 300 KB."""
    with HubServer() as hub:
        with client_of(hub):
            done = command("space", "--repo-id", "user/mnist1d-playground")
        assert done.code == 0, done.errors
        loaded: dict[str, int] = {}
        page = visit(
            "index.html#part=game", address=f"{hub.url}/spaces/user/mnist1d-playground/resolve/main/", loaded=loaded
        )
        page.keyboard.press(str(LABELS[0]))
        expect(page.locator("#game-status")).to_contain_text("Right")
        page.locator("nav a[data-part=signal]").click()
        bayes(page)
        page.locator("nav a[data-part=train]").click()
        page.locator("#train-start").click()
        expect(page.locator("#train-figures dd").first).to_contain_text("%")
        assert hub.errors == []
        assert 100_000 < sum(loaded.values()) < 300_000
