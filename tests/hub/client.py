"""How a process is told to talk to a loopback Hub."""

from __future__ import annotations

import os
from pathlib import Path


def client_environment(url: str, home: Path, token: str | None = None) -> dict[str, str]:
    """Of a process whose clients talk to this Hub only."""
    legal = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    legal = {name: value for name, value in legal.items() if "proxy" not in name.lower()}
    settings = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_ETAG_TIMEOUT": "5",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**legal, **settings, **({"HF_TOKEN": token} if token else {})}
