#!/usr/bin/env python
"""Measure and photograph the playground in a Chromium of this machine; needs the extra "test".

    .venv/bin/python scripts/benchmark_playground.py                  # prints the table
    .venv/bin/python scripts/benchmark_playground.py --update-readme  # renews mnist1d_hf/playground/README.md

The second also takes its three pictures again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from readme import README, put_section

from mnist1d_hf.cli.terminal import run_main
from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.errors import UserError
from mnist1d_hf.playground.serve import serving

ROOM = README.parent / "mnist1d_hf" / "playground"
BEGIN = "<!-- benchmark: made by scripts/benchmark_playground.py --update-readme -->"
END = "<!-- end of benchmark -->"
# Milliseconds of one call, the median of several; the first call of all, which makes tables, does not count.
MEASURE = """async () => {
  const [{ sample }, { stages }, { loadNetworks }, { posterior, prepare }] = await Promise.all(
    ["stream", "stages", "networks", "bayes"].map((name) => import(`./${name}.js`)));
  const [weights, manifest] = await Promise.all(["weights.bin", "weights.json"].map((name) => fetch(name)));
  const [numbers, layers] = [await weights.arrayBuffer(), await manifest.json()];
  const networks = loadNetworks(numbers, layers);
  const block = Array.from({ length: 512 }, (_, i) => i);
  const { x } = sample(block, 7);
  const signal = (i) => x.slice(40 * i, 40 * i + 40);
  const options = (i) => ({ label: i % 10, padding: 40, scale: 1, translation: 9, shear: 0.1, corr_noise_scale: 0.25,
    iid_noise_scale: 0.02, seed: i });
  const time = (call, times) => {
    const found = Array.from({ length: times }, (_, i) => {
      const started = performance.now();
      for (let k = 0; k < 5; k += 1) call(5 * i + k);
      return (performance.now() - started) / 5;
    });
    return found.sort((a, b) => a - b)[times >> 1];
  };
  const started = performance.now();
  prepare();
  const found = { "tables of Bayes' rule, once, in a worker": performance.now() - started };
  found["weights unpacked, once"] = time(() => loadNetworks(numbers, layers), 3);
  found["512 samples of the stream"] = time((i) => sample(block, 100 + i), 3);
  found["all steps of one signal"] = time((i) => stages(options(i)), 9);
  for (const [name, network] of Object.entries(networks)) {
    found[`\\`${name}\\``] = time((i) => network.forward(signal(i)), 9);
  }
  found["Bayes' rule, exact"] = time((i) => posterior(signal(i)), 9);
  return found;
}"""
SHOTS = {  # of the README -> address, size of the window
    "signal": ("#digit=5&padding=40&translation=14&seed=4", 1120, 1070),
    "draw": ("#part=draw&drawn=0,30,44,44,30,2,0,28,46,44,28,2", 1120, 950),
    "train": ("#part=train&steps=1000", 1120, 960),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update-readme", action="store_true", help="and take the pictures")
    options = parser.parse_args()
    with pages() as (browser, address):
        table = measure(browser, address)
        print(table)
        if options.update_readme:
            put_section(BEGIN, END, table, ROOM / "README.md")
            for name in SHOTS:
                photograph(browser, address, name)


@contextlib.contextmanager
def pages() -> Iterator[tuple[Browser, str]]:
    """A browser, and the address of the page."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise UserError("no Chromium found; on Debian: apt-get install chromium")
    with serving() as (server, address), sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser, address
        browser.close()
        server.shutdown()


def measure(browser: Browser, address: str) -> str:
    """Sizes, milliseconds and the training time, as Markdown."""
    page, sizes = browser.new_page(), {}
    page.on("response", lambda answer: sizes.update({answer.url: int(answer.headers["content-length"])}))
    page.goto(address + "#part=train")
    times: dict[str, Any] = page.evaluate(MEASURE)
    rows = [(name, f"{value:.1f} ms" if value >= 0.1 else "below 0.1 ms") for name, value in times.items()]
    for architecture, goal in {"cnn": 0.9, "mlp": 0.65}.items():
        rows.append(
            (f"`{architecture}` trained to {100 * goal:.0f} %, with its tests", train(page, architecture, goal))
        )
    total = sum(sizes.values())
    weights = sum(size for url, size in sizes.items() if "weights." in url)
    what = f"All that the page loads: {total:,} bytes, {weights:,} of them weights."
    where = f"Measured on one of {os.cpu_count()} cores, Chromium {browser.version.partition('.')[0]}."
    return f"{what} {where}\n\n{markdown_table(('what', 'time'), rows)}"


def train(page: Page, architecture: str, goal: float) -> str:
    """How long the page trains, in its usual setting, until the accuracy is reached."""
    page.locator(f"input[name=net][value={architecture}]").check()
    page.locator("#train-start").click()
    reached = "goal => parseFloat(document.querySelector('#train-figures dd').textContent) >= 100 * goal"
    page.wait_for_function(reached, arg=goal, timeout=300_000)
    _, steps, seconds, *_ = page.locator("#train-figures dd").all_inner_texts()
    page.locator("#train-reset").click()
    return f"{seconds}, {steps} steps of 100"


def photograph(browser: Browser, address: str, name: str) -> Path:
    """A picture of a part, with few colours so that it is small."""
    fragment, width, height = SHOTS[name]
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page.goto(address + fragment)
    if name == "train":
        page.get_by_role("button", name="Go on").wait_for(timeout=300_000)
    else:
        page.get_by_text("Bayes").first.wait_for()
        page.wait_for_timeout(3000)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(40, dither=Image.Dither.NONE)
    place = ROOM / "pictures" / f"{name}.png"
    place.parent.mkdir(exist_ok=True)
    shot.save(place, optimize=True)
    page.close()
    return place


if __name__ == "__main__":
    run_main("benchmark_playground.py", main)
