"""For scripts in a fresh clone: make .venv if it is missing, and run in it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("mnist1d_hf", "datasets", "torch", "transformers", "matplotlib", "jinja2", "tenacity", "typer")


def go_on_prepared() -> None:
    """Return where the package is installed; else run scripts/prepare and start this script again in .venv.

    Either way it is this clone's code that runs.
    """
    if all(importlib.util.find_spec(name) for name in NEEDED):
        sys.path.insert(0, str(ROOT))
        return
    done = subprocess.run([str(ROOT / "scripts" / "prepare"), "torch"], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    python = str(ROOT / ".venv" / "bin" / "python")
    os.execv(python, [python, *sys.argv])
