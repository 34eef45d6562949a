"""Known answers of the stream, for whoever writes it in another language: `python -m mnist1d_hf.playground.vectors`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.generator import LATENTS
from mnist1d_hf.data.stream import _SAMPLES, MAX_INDEX, MAX_SEED, _normal_table, _philox, plan_of, sample
from mnist1d_hf.files import write_file

PATH = Path(__file__).parent / "vectors.json"

_CASES: tuple[tuple[dict[str, Any], int, tuple[int, ...]], ...] = (
    ({}, 0, (0, 1, 511, 512, 10**6)),
    ({}, MAX_SEED, (2**53 + 1, MAX_INDEX - 1)),
    ({"corr_noise_scale": 0.0, "iid_noise_scale": 0.0}, 7, (3,)),
    ({"corr_noise_scale": 0.5, "iid_noise_scale": 0.1}, 7, (3,)),
    ({"final_seq_length": 60, "padding": (10, 20)}, 7, (3, 4)),  # shifts that are longer than the signal
    ({"shuffle_seq": True}, 7, (3,)),
)


def vectors() -> dict[str, Any]:
    """Everything that vectors.json holds, computed anew: STREAM.md says what it is.

    >>> vectors()["normal_table"]["65535"]  # the largest normal, in units of 2**-20
    4535052
    """
    table = np.ldexp(_normal_table().astype(float), 20).astype("<i4")
    return {
        "philox": [_philox_case(0, 0), _philox_case(MAX_SEED, 2**63 - 5)],
        "normal_table": {
            **{str(place): int(table[place]) for place in (0, 1, 32767, 32768, 65535)},
            "sha256": hashlib.sha256(table.tobytes()).hexdigest(),
        },
        "samples": [_case(*case) for case in _CASES],
    }


def _philox_case(seed: int, counter: int) -> dict[str, Any]:
    words = [f"{word:016x}" for word in _philox(seed, _SAMPLES, counter, 4).tolist()]
    return {"key": [str(seed), str(_SAMPLES)], "counter": str(counter), "words": words}


def _case(arguments: dict[str, Any], seed: int, indices: tuple[int, ...]) -> dict[str, Any]:
    config = GeneratorConfig(**arguments)
    plan = plan_of(config)
    x, label, latents = sample(indices, seed, config, latents=True)
    rows = [
        {
            "index": str(index),
            "label": int(label[row]),
            **{name: latents[name][row].item() for name in LATENTS},
            "x": x[row].astype("<f4").tobytes().hex(),
        }
        for row, index in enumerate(indices)
    ]
    tables = {"words": plan.words, "frequencies": plan.num_smooth, "mean": plan.mean, "std": plan.std}
    return {"config": arguments, "seed": str(seed), **tables, "rows": rows}


if __name__ == "__main__":
    write_file(PATH, (json.dumps(vectors(), indent=1) + "\n").encode())
