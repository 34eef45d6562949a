"""The page where things are unusual: other noise, held keys, wrong addresses, refused numbers, a narrow phone."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from mnist1d_hf import GeneratorConfig, posterior
from tests.playground.test_page import PARTS, bayes, fragment, lines

# The signal of the first part, standardised as data with its noise are.
SIGNAL = """async () => {
  const { stages, standardize } = await import("./stream.js");
  const { state } = await import("./state.js");
  const { digit, padding, scale, translation, shear, seed, corr, iid } = state;
  const noise = { corr_noise_scale: corr, iid_noise_scale: iid };
  const made = stages({ label: digit, padding, scale, translation, shear, seed, ...noise });
  return Array.from(standardize(made.at(-1).values, noise));
}"""


def press_and_hold(page, key, times=5):
    """Press a key, and send the repeated events of one that is held down."""
    for _ in range(times):
        page.keyboard.down(key)
    page.keyboard.up(key)


# Bayes' rule in the first part


def expected_reading(page, digit, corr, iid):
    signal = np.array([page.evaluate(SIGNAL)], np.float32)
    probability = posterior(signal, GeneratorConfig(corr_noise_scale=corr, iid_noise_scale=iid))[0]
    best = int(probability.argmax())
    return f"Bayes {best} {'✓' if best == digit else '✗'} {100 * probability[best]:.0f}\u202f%"


def test_bayes_reckons_with_the_chosen_noise(visit):
    page = visit("#corr=1&iid=0.3&seed=5")
    last = page.locator("#final-say li").last
    bayes(page)
    assert expected_reading(page, 3, 1, 0.3) == "Bayes 3 ✓ 59\u202f%"
    expect(last).to_have_text("Bayes 3 ✓ 59\u202f%")
    hint = page.locator("#final-hint")
    expect(hint).to_contain_text("The networks learned with the usual noise")
    for iid in (0.1, 0.2, 0.25):  # while the tables for one noise are made, others are chosen
        page.locator("#field-iid").fill(str(iid))
        expect(last).to_have_text("Bayes …")
        page.wait_for_timeout(200)
    bayes(page)
    expect(last).to_have_text(expected_reading(page, 3, 1, 0.25))
    for name, value in {"corr": 0, "iid": 0}.items():
        page.locator(f"#field-{name}").fill(str(value))
    expect(last).to_have_text("Bayes …")
    bayes(page)
    expect(last).to_have_text(expected_reading(page, 3, 0, 0))
    page.locator("#signal-reset").click()
    expect(hint).to_have_text("")
    bayes(page)
    expect(last).to_have_text(expected_reading(page, 3, 0.25, 0.02))


# Keys


def test_a_held_key_answers_once(visit):
    page = visit("#part=game")
    press_and_hold(page, "3")
    assert fragment(page, "answers=") == "#part=game&answers=3"
    page.locator("#game-digits [data-digit='5']").focus()
    press_and_hold(page, "Enter")
    assert fragment(page, "answers=35") == "#part=game&answers=35"
    page.keyboard.press("Enter")
    expect(page.locator("#game-number")).to_contain_text("Signal 4 of 20")


# Links and addresses


def test_links_of_the_parts_follow_every_change(visit):
    page = visit()
    page.get_by_label("digit 5", exact=True).check()
    page.locator("#field-padding").fill("40")
    for part in PARTS:
        link = page.locator(f"nav a[data-part={part}]")
        expected = "#digit=5&padding=40" if part == "signal" else f"#part={part}&digit=5&padding=40"
        expect(link).to_have_attribute("href", expected)
    with page.context.expect_page() as opened:
        page.locator("nav a[data-part=draw]").click(modifiers=["Control"])
    assert opened.value.evaluate("location.hash") == "#part=draw&digit=5&padding=40"


@pytest.mark.parametrize(
    ("wrong", "right"),
    {
        "#part=nix&digit=99": "#digit=9",
        "#part=nothing&padding=abc&toString=1": "",
        "#part=draw&drawn=999,0,0,0,0,-81,0,0,0,0,0,7": "#part=draw&drawn=80,0,0,0,0,-80,0,0,0,0,0,7",
        "#part=draw&drawn=1,2,3": "#part=draw",  # neither 12 nor 40 points
        "#part=draw&way=direct&drawn=0,0,0,0,0,0,0,0,0,0,0,7": "#part=draw&way=direct",
    }.items(),
)
def test_a_wrong_address_is_corrected(visit, wrong, right):
    page = visit(wrong)
    assert page.evaluate("location.hash") == right
    page.evaluate("location.hash = '#part=game&game=x'")
    expect(page.locator("#game")).to_be_visible()
    assert page.evaluate("location.hash") == "#part=game"


def test_a_signal_that_leaves_the_field_is_cut_there(visit):
    """What the picture shows is what the address says, and what is read."""
    page = visit("#part=draw&drawn=-80,0,0,80,80,0,0,0,0,0,0,0&luck=9")  # its highest point is at 0.87
    page.get_by_label("the signal itself").check()
    drawn = fragment(page, "way=direct", "drawn=").partition("drawn=")[2].partition("&")[0]
    assert max(abs(int(height)) for height in drawn.split(",")) == 80


# Numbers that are typed


def test_a_refused_seed_says_why(visit):
    page = visit()
    seed, hint = page.get_by_label("Seed of the noise"), page.locator(".field [role=status]").first
    for typed, found in {"7.5": "7.5", "-1": "-1", "1000001": "1000001", "": "no number"}.items():
        seed.fill(typed)
        seed.blur()
        expect(hint).to_have_text(f"Expected 0 to 1000000 in steps of 1, found {found}.")
        expect(seed).to_have_value("1")
    seed.fill("2")
    seed.blur()
    expect(hint).to_have_text("")
    seed.fill("7.5")
    seed.blur()
    page.get_by_role("button", name="Random signal").click()
    expect(hint).to_have_text("")


def test_a_refused_height_says_why(visit):
    page = visit("#part=draw")
    page.get_by_text("The heights as numbers").click()
    height = page.get_by_label("height of point 2", exact=True)
    before = height.input_value()
    height.fill("0.9")
    height.blur()
    expect(page.locator("#heights-hint")).to_have_text("Expected -0.8 to 0.8 in steps of 0.01, found 0.9.")
    expect(height).to_have_value(before)
    height.fill("0.5")
    height.blur()
    expect(page.locator("#heights-hint")).to_have_text("")


# What is drawn


def test_the_first_report_of_a_training_is_a_dot(visit):
    page = visit("#part=train&net=mlp&width=25&steps=50")
    expect(page.locator("#train-accuracy path.dots")).to_have_count(1)
    expect(page.locator("#train-loss path.dots")).to_have_count(1)
    assert lines(page, "#train-accuracy") == []
    accuracy = page.locator("#train-figures dd").first.inner_text().split("\u202f")[0]
    label = page.locator("#train-accuracy svg").get_attribute("aria-label")
    assert label == f"{float(accuracy):.0f}\u202f% after 50 steps"


@pytest.mark.parametrize("width", [360, 390])
def test_the_dots_of_the_game_stand_in_one_line(visit, width):
    page = visit("#part=game&answers=0123456789012345678", viewport={"width": width, "height": 800})
    tops = page.locator("#game-dots i").evaluate_all("dots => dots.map(dot => dot.getBoundingClientRect().top)")
    assert len(tops) == 20
    assert len(set(tops)) == 1
    assert page.evaluate("document.documentElement.scrollWidth") == width
