"""`mnist1d.data`: arguments, templates and datasets."""

from __future__ import annotations

import os
import random
import warnings
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
    "set_seed",
    "to_pickle",
    "transform",
]

_URL = "https://github.com/greydanus/mnist1d/raw/master/mnist1d_data.pkl"  # one of the arguments; never opened
_built: set[str] = set()  # paths at which the original would have left a file since this process started


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
        download, regenerate: decide, as in the original, whether it would build. With `download` it would return the
            default dataset instead, whatever `args` says: then a warning says so.
        kwargs: `template`, as in `make_dataset`.

    Raises:
        InvalidTypeError, InvalidValueError: as in `make_dataset`.
        AssertionError: both `download` and `regenerate`.

    >>> get_dataset(get_dataset_args(), verbose=False)["x_test"].shape
    (1000, 40)
    """
    if download and regenerate:
        raise AssertionError("download and regenerate: expected one of them at most, found both")
    place = os.path.abspath("./mnist1d_data.pkl" if path is None else path)
    known = place in _built or os.path.exists(place)
    if regenerate or not (download or known):
        if verbose:
            shown = "./mnist1d_data.pkl" if path is None else path
            print(f"Did or could not load data from {shown}. Rebuilding dataset...")
        dataset = make_dataset(args, **kwargs)
        _built.add(place)
        return dataset
    states = random.getstate(), np.random.get_state()
    try:
        dataset = make_dataset(args, **{key: value for key, value in kwargs.items() if key == "template"})
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    if args is not None:
        returned = "download=True returns the default dataset" if download else f"it returns what {place} holds"
        _warn_of_another_result(args, returned)
    if verbose:
        sizes = f"{len(dataset['y'])} training and {len(dataset['y_test'])} test samples"
        print(f"Built {sizes} from the arguments; {place} is neither read nor written.")
    return dataset


def _warn_of_another_result(args: Any, returned: str) -> None:
    """Warn where `args` are not the default ones; `returned` says what the original would give instead."""
    default = get_dataset_args()
    changed = [name for name in ARGUMENTS if not np.array_equal(getattr(args, name), getattr(default, name))]
    if changed:
        warnings.warn(
            f"get_dataset: built with {', '.join(changed)} as given; "
            f"mnist1d itself would ignore them here ({returned})",
            stacklevel=3,
        )


def _one_by_one(args: Any, templates: Any) -> dict[str, Any]:
    """What the original does, sample by sample, for arguments that `GeneratorConfig` refuses."""
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
    """Refuse arguments that lack something, and warn of a slip that the original would pass over in silence."""
    if isinstance(args, dict):
        raise InvalidTypeError("args: expected an object with attributes, found a dict; wrap it: ObjectView(args)")
    missing = [name for name in ARGUMENTS if not hasattr(args, name)]
    if missing:
        raise InvalidValueError(f"args: missing {', '.join(missing)}; start from get_dataset_args()")
    for name in getattr(args, "__dict__", {}):
        near = nearest(name, ARGUMENTS)
        if name not in ARGUMENTS and near is not None:
            warnings.warn(f"args.{name}: no such argument, so it changes nothing; did you mean {near}?", stacklevel=4)


def _config(args: Any) -> GeneratorConfig:
    """`args` as a `GeneratorConfig`; the split is cut by `_split`, as the original cuts it."""
    values = {name: getattr(args, name) for name in ARGUMENTS if name != "train_split"}
    values["shuffle_seq"] = bool(values["shuffle_seq"])
    if isinstance(values["padding"], np.ndarray):
        values["padding"] = tuple(values["padding"].tolist())
    return GeneratorConfig(**values, train_split=0.5)
