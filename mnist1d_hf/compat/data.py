"""`mnist1d.data`: arguments, templates and datasets."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from mnist1d_hf.compat.transform import transform
from mnist1d_hf.compat.utils import ObjectView, from_pickle, set_seed, to_pickle
from mnist1d_hf.data.config import ARGUMENTS, GeneratorConfig
from mnist1d_hf.data.generator import generate
from mnist1d_hf.data.templates import get_templates
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError, UserError, nearest

__all__ = [
    "ObjectView",
    "from_pickle",
    "get_dataset",
    "get_dataset_args",
    "get_templates",
    "make_dataset",
    "np",  # the original's modules declare no names, so that `import *` gives those of their imports, too
    "os",
    "set_seed",
    "to_pickle",
    "transform",
]

_URL = "https://github.com/greydanus/mnist1d/raw/master/mnist1d_data.pkl"  # one of the arguments; never opened
_left: dict[str, dict[str, Any]] = {}  # path -> arguments of the dataset that the original would have left there


def get_dataset_args(as_dict: bool = False) -> Any:
    """The default arguments, as an `ObjectView` or, with `as_dict`, a dictionary.

    >>> get_dataset_args().padding
    [36, 60]
    """
    default = GeneratorConfig()
    arguments = {name: getattr(default, name) for name in ARGUMENTS}
    arguments["padding"] = list(default.padding)
    arguments["url"] = _URL
    return arguments if as_dict else ObjectView(arguments)


def make_dataset(args: Any = None, template: Any = None) -> dict[str, Any]:
    """Make a dataset from attribute-style arguments; see `mnist1d_hf.make_dataset`.

    Afterwards the global generators of Python and NumPy are in the state in which the original leaves them.

    Args:
        args: any object with the attributes of `get_dataset_args()`.
        template: `{"x", "t", "y"}`; the ten digits when None.

    Returns:
        `x`, `x_test` float64 (n, final_seq_length), `y`, `y_test` int64 (n,), `t` float64, `templates`.

    Raises:
        InvalidTypeError, InvalidValueError: an attribute is missing, or its value is not allowed.

    >>> args = get_dataset_args()
    >>> args.num_samples = 100
    >>> make_dataset(args)["x"].shape
    (80, 40)
    """
    args = get_dataset_args() if args is None else args
    _check_attributes(args)
    templates = get_templates() if template is None else template
    with contextlib.suppress(Exception):  # the lines below build it in float64, or say what is wrong
        if _has_another_precision(args, templates):
            return _one_by_one(args, templates)
    try:
        made = generate(_config(args), templates)
    except UserError as refused:
        try:  # the original accepts more than this package does elsewhere: a least padding above the greatest, say
            return _one_by_one(args, templates)
        except Exception:  # whatever the original would stumble over: our error says more
            raise refused from None
    random.seed(int(args.seed))
    np.random.set_state(made.random_state)
    return _split(made.x, np.asarray(templates["y"])[made.label], made.t, args, templates)


def get_dataset(
    args: Any,
    path: Any = None,
    verbose: bool = True,
    download: bool = True,
    regenerate: bool = False,
    **kwargs: Any,
) -> dict[str, Any]:
    """Build the dataset that `args` describes. Nothing is read, fetched or written.

    Where the original would build it too (with `regenerate`; or without `download` and without a file at `path`), the
    global generators of Python and NumPy are left as the original leaves them, and else untouched.

    Args:
        args: as in `make_dataset`.
        path: where the original keeps its file; "./mnist1d_data.pkl" when None.
        verbose: print what the original prints, or one line.
        download, regenerate: decide, as in the original, whether it would build. Otherwise it would return the default
            dataset (`download`), or what an earlier call has left at `path`. Where that was made from other arguments
            a warning says so.
        kwargs: `template`, as in `make_dataset`.

    Raises:
        InvalidTypeError, InvalidValueError: as in `make_dataset`.
        AssertionError: both `download` and `regenerate`.

    >>> get_dataset(get_dataset_args(), verbose=False)["x_test"].shape
    (1000, 40)
    """
    if download and regenerate:
        raise AssertionError("download and regenerate: expected one of them at most, found both")
    shown = "./mnist1d_data.pkl" if path is None else path
    place = os.path.abspath(shown)
    template = kwargs.get("template")
    known = place in _left or os.path.exists(place)
    download = download and _has(args, "url")  # without an address the original finds nothing to download
    if regenerate or not (download or known):
        if verbose:
            print(f"Did or could not load data from {shown}. Rebuilding dataset...")
        dataset = make_dataset(args, **kwargs)
        _left[place] = _contents(args, template)
        return dataset
    states = random.getstate(), np.random.get_state()
    try:
        dataset = make_dataset(args, template)
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    if not known:
        _left[place] = _contents(None, None)  # what the original would have downloaded
    _warn_of_another_result(_contents(args, template), place, known)
    if verbose:
        sizes = f"{len(dataset['y'])} training and {len(dataset['y_test'])} test samples"
        print(f"Built {sizes} from the arguments; {place} is neither read nor written.")
    return dataset


def _contents(args: Any, template: Any) -> dict[str, Any]:
    """What decides the content of a dataset, as values that do not change any more."""
    args = get_dataset_args() if args is None else args
    values = {name: getattr(args, name) for name in ARGUMENTS}
    values["template"] = get_templates() if template is None else template
    return copy.deepcopy(values)


def _warn_of_another_result(asked: dict[str, Any], place: str, known: bool) -> None:
    """Warn where the original would give a dataset of other arguments: what is at `place`, or what it downloads."""
    held, returned = _contents(None, None), "download=True returns the default dataset"
    if os.path.exists(place):  # its content is not known; most hold the default dataset
        returned = f"it returns what {place} holds"
    elif known:
        held, returned = _left[place], f"it returns the data of an earlier call for {place}"
    changed = [name for name, value in asked.items() if not _same(value, held[name])]
    if not changed:
        return
    warnings.warn(
        f"get_dataset: built with {', '.join(changed)} as given; mnist1d itself would ignore them here ({returned})",
        stacklevel=3,
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return np.array_equal(one, other)


def _one_by_one(args: Any, templates: Any) -> dict[str, Any]:
    """What the original does, sample by sample, for what the fast generator refuses or computes in float64."""
    set_seed(args.seed)
    count = args.num_samples // len(templates["y"])
    classes = range(len(templates["y"]))
    made = [
        (transform(templates["x"][row], templates["t"], args), templates["y"][row])
        for row in classes
        for _ in range(count)
    ]
    order = np.random.permutation(len(made))
    x = np.stack([signal for (signal, _), _ in made])[order]
    y = np.stack([label for _, label in made])[order]
    if args.shuffle_seq:
        x = x[..., np.random.permutation(args.final_seq_length)]
    t = made[-1][0][1] / x.std()
    return _split((x - x.mean()) / x.std(), y, t, args, templates)


def _split(x: Any, y: Any, t: Any, args: Any, templates: Any) -> dict[str, Any]:
    cut = int(len(y) * args.train_split)
    return {"x": x[:cut], "x_test": x[cut:], "y": y[:cut], "y_test": y[cut:], "t": t, "templates": templates}


def _check_attributes(args: Any) -> None:
    """Refuse arguments that lack something, and warn of attributes that the original would pass over in silence."""
    missing = [name for name in ARGUMENTS if not _has(args, name)]
    if missing and isinstance(args, dict):
        raise InvalidTypeError("args: expected an object with attributes, found a dict; wrap it: ObjectView(args)")
    if missing:
        raise InvalidValueError(f"args: missing {', '.join(missing)}; start from get_dataset_args()")
    hints = {name: nearest(name, ARGUMENTS, cutoff=0.75) for name in _unread(args)}
    if hints:
        names = ", ".join(f"args.{name}" for name in sorted(hints, key=lambda name: hints[name] is not None))
        near = "".join(f"; {name}: did you mean {hint}?" for name, hint in hints.items() if hint is not None)
        warnings.warn(f"{names}: no such argument, so it changes nothing{near}", stacklevel=4)


def _has(args: Any, name: str) -> bool:
    try:
        getattr(args, name)
    except (AttributeError, LookupError):  # the second from dictionaries with attributes
        return False
    return True


def _unread(args: Any) -> list[str]:
    """The attributes of any object, or the keys of a dictionary with attributes, that are no arguments."""
    names = dict.fromkeys([*(args if isinstance(args, Mapping) else ()), *dir(args)])
    names = dict.fromkeys(name for name in map(str, names) if name not in (*ARGUMENTS, "url"))
    return [name for name in names if not name.startswith("_") and not callable(getattr(args, name, None))]


def _has_another_precision(args: Any, templates: Any) -> bool:
    """Whether NumPy computes in another precision than float64 here, as with `np.float32(0.3)` as a factor."""
    if any(np.asarray(templates[key]).dtype == np.longdouble for key in ("x", "t")):
        return True
    values = [getattr(args, name) for name in ("scale_coeff", "corr_noise_scale", "iid_noise_scale", "shear_scale")]
    return any(isinstance(value, (np.floating, np.ndarray)) and value.dtype != np.float64 for value in values)


def _config(args: Any) -> GeneratorConfig:
    """`args` as a `GeneratorConfig`; the split is cut by `_split`, as the original cuts it."""
    values = {name: getattr(args, name) for name in ARGUMENTS if name != "train_split"}
    values["shuffle_seq"] = bool(values["shuffle_seq"])
    if isinstance(values["padding"], np.ndarray):
        values["padding"] = tuple(values["padding"].tolist())
    return GeneratorConfig(**values, train_split=0.5)
