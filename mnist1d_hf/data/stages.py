"""One sample's way from template to signal, step by step, for figures and for teaching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.generator import SignalMaker, draw_samples, legacy_random
from mnist1d_hf.data.templates import check_templates
from mnist1d_hf.errors import InvalidValueError


class Stage(NamedTuple):
    """The signal after one transformation: its name, what was drawn for it, and the values (points,)."""

    name: str
    drawn: str
    values: NDArray[Any]


def transformation_stages(
    label: int, config: GeneratorConfig | None = None, templates: Mapping[str, Any] | None = None
) -> list[Stage]:
    """The first sample of class `label` after each transformation, before the shuffle and the standardisation.

    Args:
        label: row of the template, 0 .. classes - 1.
        config, templates: as in `mnist1d_hf.make_dataset`.

    Raises:
        InvalidValueError: no such class.

    Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section 2.

    >>> [stage.name for stage in transformation_stages(3)]
    ['template', 'pad', 'dilate', 'scale', 'translate', 'fill the padding', 'add noise', 'shear', 'subsample']
    """
    config = GeneratorConfig() if config is None else config
    arrays = check_templates(templates)
    classes = len(arrays["y"])
    if not 0 <= label < classes:
        raise InvalidValueError(f"label: expected 0 to {classes - 1}, found {label}")
    first = label * (config.num_samples // classes)
    draws = draw_samples(*legacy_random(config.seed), config, first + 1)
    zeros, shift = int(draws.padding[first]), int(draws.translation[first])
    scale, shear = float(draws.scale[first]), float(draws.shear[first])
    corr, iid = np.split(draws.normals[first], 2)

    maker = SignalMaker(config, arrays["x"])
    template = maker.template_x[label]
    padded = np.concatenate([template, np.zeros(zeros)])
    dilated = maker.dilate(np.array([label]), np.array([zeros]))[0]
    scaled = dilated * scale
    translated = maker.translate(scaled[None], np.array([shift]))[:, 0]
    filled = np.where(translated != 0, translated, maker.smooth(corr[:, None])[:, 0])
    noisy = filled + config.iid_noise_scale * iid
    sheared = noisy - shear * maker.slope[:, 0]
    return [
        Stage("template", f"digit {arrays['y'][label]}", template),
        Stage("pad", f"{zeros} zeros", padded),
        Stage("dilate", f"to {len(dilated)} points", dilated),
        Stage("scale", f"by {scale:.2f}", scaled),
        Stage("translate", f"by {shift} points", translated),
        Stage("fill the padding", "smooth noise", filled),
        Stage("add noise", f"white, std {config.iid_noise_scale:g}", noisy),
        Stage("shear", f"slope {-shear:.2f}", sheared),
        Stage("subsample", f"to {config.final_seq_length} points", maker.subsample(sheared[:, None])[:, 0]),
    ]
