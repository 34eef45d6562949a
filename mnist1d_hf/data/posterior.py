"""The exact probability of every class for every signal: what is the best that anyone could do?"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.data.answer_key import ROUNDING, AnswerKey, Scores, check_size
from mnist1d_hf.data.config import GeneratorConfig, check_config, check_real
from mnist1d_hf.data.generator import generate
from mnist1d_hf.data.stream import plan_of, position_order
from mnist1d_hf.data.templates import Frozen, check_templates, frozen, thawed
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError

Array = NDArray[Any]


_LARGEST = 1e6  # without a sign; far beyond all signals, and the squares are still exact enough
_ADVICE = (
    "rows of an exact dataset need standardization=mnist1d_hf.standardization(config), those of a stream none, and "
    "both the config that made them"
)


class UnlikelySignalWarning(UserWarning):
    """Signals are so improbable under a configuration that they were hardly made with it."""


def posterior(
    x: Any,
    config: GeneratorConfig | None = None,
    *,
    standardization: tuple[float, float] | None = None,
    templates: Mapping[str, Any] | None = None,
    latents: bool = False,
) -> Any:
    """The exact probability of every class for every signal, p(class | x).

    Args:
        x: signals (n, final_seq_length), real numbers, as `sample` or `stream` give them; rows of an exact dataset
            with its `standardization`.
        config: the generator's arguments with which the signals were made; the paper's when None. With `shuffle_seq`,
            `config.seed` says which permutation was used: that of the stream of this seed, or, with `standardization`,
            that of the exact dataset of this seed.
        standardization: `mnist1d_hf.standardization(config)` for rows of an exact dataset (`load_dataset`,
            `make_dataset`): the mean that was subtracted and the standard deviation by which it was divided.
        templates: as in `mnist1d_hf.make_dataset`.
        latents: also return what is known of padding, scale, translation and shear: the inverse of the generator.

    Returns:
        float64 (n, classes); rows sum to 1, columns are the rows of `templates["x"]`. With `latents` also a `Latents`
        (mean, std, mode).

    Raises:
        InvalidTypeError, InvalidValueError: `x` of another shape, not numbers, NaN; `standardization` of another form;
            without i.i.d. noise, a signal that no class can produce; a configuration with too many combinations.

    Warns:
        UnlikelySignalWarning: signals that are extremely improbable under this configuration, as signals on another
            scale are.

    Source: Bayes' rule for the generative model of Greydanus & Kobak 2024 (arXiv 2011.14439), section 2.

    >>> from mnist1d_hf import sample
    >>> x, label = sample(range(100))
    >>> p = posterior(x)
    >>> p.shape, int((p.argmax(1) == label).sum())
    ((100, 10), 100)
    """
    config = check_config(config)
    signals = _check_signals(x, config.final_seq_length)
    check_size(config, len(check_templates(templates)["y"]))
    if standardization is None:
        scale = stream_scale(config, templates)
    else:
        positions = _exact_scale(config, frozen(templates)).positions if config.shuffle_seq else None
        scale = Scale(*_check_standardization(standardization), positions)
    scores = score(signals, scale, config, templates, latents=latents)
    _check_fit(scores.misfit, config)
    return (scores.probability, scores.latents) if latents else scores.probability


def score(
    x: Array,
    scale: Scale,
    config: GeneratorConfig,
    templates: Mapping[str, Any] | None = None,
    *,
    latents: bool = False,
) -> Scores:
    """What is known of signals float64 (n, length) that were standardised as `scale` says."""
    if scale.positions is not None:
        shuffled, x = x, np.empty_like(x)
        x[:, scale.positions] = shuffled
    return answer_key(config, templates).score(x * scale.std + scale.mean, latents=latents)


def standardization(
    config: GeneratorConfig | None = None, templates: Mapping[str, Any] | None = None
) -> tuple[float, float]:
    """Mean and standard deviation by which the signals of an exact dataset were standardised.

    Args:
        config: of the exact dataset, which is built for this (once in a process); the stream's numbers when None.
        templates: as in `mnist1d_hf.make_dataset`.

    Returns:
        (mean, std), floats in the generator's units: x = (signal - mean) / std.

    >>> mean, std = standardization(GeneratorConfig())
    >>> round(mean, 4), round(std, 4)
    (-0.0055, 0.1547)
    """
    if config is None:
        return stream_scale(GeneratorConfig(), templates)[:2]
    return _exact_scale(config, frozen(templates))[:2]


class Scale(NamedTuple):
    """How signals were made from the generator's: (signal - mean) / std, then `[positions]`."""

    mean: float
    std: float
    positions: Array | None = None


def stream_scale(config: GeneratorConfig, templates: Mapping[str, Any] | None = None, seed: int | None = None) -> Scale:
    """Of the stream of a seed, `config.seed` when None."""
    plan = plan_of(config, templates)
    seed = config.seed if seed is None else seed
    positions = position_order(seed, config.final_seq_length) if config.shuffle_seq else None
    return Scale(plan.mean, plan.std, positions)


@functools.lru_cache(maxsize=32)
def _exact_scale(config: GeneratorConfig, templates: Frozen | None) -> Scale:
    made = generate(config, thawed(templates))
    return Scale(*made.standardization, made.positions)


def answer_key(config: GeneratorConfig, templates: Mapping[str, Any] | None = None) -> AnswerKey:
    """The tables for a configuration, made once in a process."""
    default = GeneratorConfig()
    other = {name: getattr(default, name) for name in ("num_samples", "train_split", "seed", "shuffle_seq")}
    return _key(dataclasses.replace(config, **other), frozen(templates))


@functools.lru_cache(maxsize=2)
def _key(config: GeneratorConfig, templates: Frozen | None) -> AnswerKey:
    arrays = thawed(templates)
    return AnswerKey(config, arrays, ROUNDING * plan_of(config, arrays).std)


def _check_signals(x: Any, length: int) -> Array:
    expected = f"x: expected signals of shape (n, {length})"
    try:
        array = np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidValueError(f"{expected}, found what is no array ({error})") from None
    if array.dtype.kind not in "fiu":
        raise InvalidTypeError(f"{expected} of real numbers, found {type(x).__name__} of dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] != length:
        raise InvalidValueError(f"{expected}, found {array.shape}; pass the configuration that made them as config=")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(1))
    if len(bad):
        raise InvalidValueError(f"x: expected finite numbers, found NaN or infinity in {len(bad)} rows, first {bad[0]}")
    largest = float(np.abs(array).max(initial=0.0))
    if largest > _LARGEST:
        raise InvalidValueError(
            f"x: expected standardised signals, whose numbers are below {_LARGEST:g}, found {largest:g}; {_ADVICE}"
        )
    return array


def _check_standardization(value: Any) -> tuple[float, float]:
    expected = "standardization: expected (mean, std), as mnist1d_hf.standardization(config) gives it"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or len(value) != 2:
        raise InvalidTypeError(f"{expected}, found {value!r}")
    mean, std = (check_real("standardization", item) for item in value)
    if std <= 0:
        raise InvalidValueError(f"{expected} with std above 0, found {std}")
    return mean, std


def _check_fit(misfit: Array, config: GeneratorConfig) -> None:
    """Refuse or warn of signals that this configuration does not make.

    The limits are passed with a probability below e**-30 by one signal of the configuration, and by all together
    (Laurent & Massart 2000, lemma 1: a chi-squared variable with k degrees of freedom is above k + 2 sqrt(30 k) + 60 so
    rarely; a misfit is at most one with as many degrees of freedom as the signal has points).
    """
    points = np.array([1, len(misfit)]) * config.final_seq_length
    limit, together = points + 2 * np.sqrt(30 * points) + 60
    if config.iid_noise_scale == 0:
        impossible = np.flatnonzero(misfit > 100 * limit)
        if len(impossible):
            raise InvalidValueError(
                f"x: without i.i.d. noise no class can produce {len(impossible)} of the {len(misfit)} signals, the "
                f"first is row {impossible[0]}; {_ADVICE}"
            )
        return
    unlikely = np.flatnonzero(misfit > limit)
    if len(unlikely) or misfit.sum() > together:
        which = (
            f"{len(unlikely)} of the {len(misfit)} signals" if len(unlikely) else f"the {len(misfit)} signals together"
        )
        first = f", the first is row {unlikely[0]}" if len(unlikely) else ""
        warnings.warn(
            f"{which} are far from all that this configuration makes{first}; {_ADVICE}",
            UnlikelySignalWarning,
            stacklevel=3,
        )
