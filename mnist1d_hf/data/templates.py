"""The ten 12-point templates and the time axis (Greydanus & Kobak 2024, arXiv 2011.14439, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.errors import InvalidTypeError, InvalidValueError

Templates = dict[str, NDArray[Any]]
Frozen = tuple[tuple[str, bytes, str, tuple[int, ...]], ...]

# Facts of the paper's generator: one row per digit, heights on a grid of twelve points.
_HEIGHTS = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)


def get_templates() -> Templates:
    """The templates of the ten digits, each standardised and shifted to start at zero.

    Returns:
        `x`: float64 (10, 12), one signal per digit; `t`: float64 (12,), the time axis from -5/6 to 5/6;
        `y`: int64 (10,), the digits.

    Source: Greydanus & Kobak 2024, section 2.

    >>> {key: value.shape for key, value in get_templates().items()}
    {'x': (10, 12), 't': (12,), 'y': (10,)}
    """
    x = np.asarray(_HEIGHTS, dtype=np.float64)
    x -= x.mean(1, keepdims=True)
    x /= x.std(1, keepdims=True)
    x -= x[:, :1]
    return {"x": x / 6.0, "t": np.linspace(-5, 5, x.shape[1]) / 6.0, "y": np.arange(len(x))}


def check_templates(templates: Mapping[str, Any] | None) -> Templates:
    """`templates` as arrays, or the paper's when None. Their dtypes are kept: they shape the arithmetic.

    Raises:
        InvalidTypeError: not a mapping with the keys `x`, `t`, `y`, or not numbers.
        InvalidValueError: shapes other than (classes, points), (points,), (classes,), or values that are not finite.
    """
    if templates is None:
        return get_templates()
    if not isinstance(templates, Mapping):
        raise InvalidTypeError(f"templates: expected a dict with the keys x, t and y, found {type(templates).__name__}")
    missing = [key for key in ("x", "t", "y") if key not in templates]
    if missing:
        raise InvalidValueError(
            f"templates: expected the keys x, t and y, found {sorted(map(str, templates))}; "
            f"add {', '.join(missing)} (see mnist1d_hf.get_templates)"
        )
    try:
        arrays = {key: np.asarray(templates[key]) for key in ("x", "t", "y")}
    except ValueError as error:
        raise InvalidValueError(
            f"templates: expected rectangular arrays, found rows of unequal length ({error})"
        ) from None
    _check_arrays(**arrays)
    return arrays


def _check_arrays(x: NDArray[Any], t: NDArray[Any], y: NDArray[Any]) -> None:
    for key, array in (("x", x), ("t", t)):
        if array.dtype.kind not in "fiu":
            raise InvalidTypeError(f"templates[{key!r}]: expected real numbers, found dtype {array.dtype}")
        if not np.isfinite(array).all():
            raise InvalidValueError(f"templates[{key!r}]: expected finite numbers, found NaN or infinity")
    if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] < 2:
        raise InvalidValueError(f"templates['x']: expected shape (classes >= 1, points >= 2), found {x.shape}")
    if t.shape != x.shape[1:]:
        raise InvalidValueError(f"templates['t']: expected shape {x.shape[1:]} (a time per point), found {t.shape}")
    if y.shape != x.shape[:1]:
        raise InvalidValueError(f"templates['y']: expected shape {x.shape[:1]} (a label per class), found {y.shape}")
    if len(set(y.tolist())) != len(y):
        raise InvalidValueError(f"templates['y']: expected different labels, found {y.tolist()}")


def frozen(templates: Mapping[str, Any] | None) -> Frozen | None:
    """Checked templates in a form that can be a key of a cache; None stands for the paper's."""
    if templates is None:
        return None
    arrays = check_templates(templates)
    return tuple((key, arrays[key].tobytes(), arrays[key].dtype.str, arrays[key].shape) for key in ("x", "t", "y"))


def thawed(templates: Frozen | None) -> Templates:
    """The templates again.

    >>> thawed(frozen(get_templates()))["x"].shape
    (10, 12)
    """
    if templates is None:
        return get_templates()
    return {key: np.frombuffer(data, dtype).reshape(shape) for key, data, dtype, shape in templates}


__all__ = ["Frozen", "Templates", "check_templates", "frozen", "get_templates", "thawed"]
