"""The folder of the playground: the page, the weights that it shows, and the card of a Space."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import SpaceCardData

from mnist1d_hf.files import write_file
from mnist1d_hf.playground.weights import NETWORKS, export_weights

PAGE = Path(__file__).parent
WEIGHTS, MANIFEST = "weights.bin", "weights.json"

_CARD = """---
{metadata}
---

# MNIST-1D playground

See a template become a signal, draw a digit of your own, play against a network of 5,210 parameters, and train one: all
in this page. It sends nothing anywhere, and keeps nothing.

The signals are those of `mnist1d_hf.sample`, bit for bit. Logits of the networks are those of the released checkpoints
to 1e-4; those of the ResNet, whose weights are rounded so that the page stays below 300 KB, to 0.4, and its class is
the same on 9,998 of 10,000 signals. Probabilities of Bayes' rule are exact to 1e-5.
"""


def build(folder: Path, namespace: str | None = None) -> Path:
    """Write the page into `folder`, which is made, and return it.

    Args:
        folder: where to. Any web server can show it, under any path.
        namespace: user or organisation on the Hub whose models and dataset the card links; without one, it links none.
    """
    for path in sorted(PAGE.iterdir()):
        if path.suffix in (".html", ".js", ".css"):
            write_file(folder / path.name, path.read_bytes())
    weights, manifest = export_weights()
    write_file(folder / WEIGHTS, weights)
    write_file(folder / MANIFEST, json.dumps(manifest, separators=(",", ":")).encode())
    write_file(folder / "README.md", card(namespace).encode())
    return folder


def card(namespace: str | None = None) -> str:
    """The card of the Space: its metadata as YAML, and a few words."""
    metadata = SpaceCardData(
        title="MNIST-1D playground",
        emoji="📈",
        colorFrom="blue",
        colorTo="indigo",
        short_description="See, draw, beat and train on MNIST-1D",
        sdk="static",
        app_file="index.html",
        license="apache-2.0",
        models=[f"{namespace}/mnist1d-{name}" for name in NETWORKS] if namespace else None,
        datasets=[f"{namespace}/mnist1d"] if namespace else None,
    )
    return _CARD.format(metadata=metadata.to_yaml().strip())
