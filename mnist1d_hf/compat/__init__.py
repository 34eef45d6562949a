"""The PyPI package `mnist1d`, name for name, on top of the generator of this package: one import line changes.

    import mnist1d                                        # before
    import mnist1d_hf.compat as mnist1d                   # after

    from mnist1d.data import get_dataset_args             # before
    from mnist1d_hf.compat.data import get_dataset_args   # after

The functions have the original's signatures and give the original's results bit for bit. They also leave the global
random generators of Python and NumPy in the state in which the original leaves them, because code that was written
for it goes on drawing from there. (No other part of this package touches a global generator.)

One difference is on purpose: `get_dataset` always builds what its arguments describe. It reads no file, opens no
connection, unpickles nothing and writes nothing. Where the original would give something else, a warning says so.

As in the original, `compat.transform` is the function; the module of that name is reached by
`from mnist1d_hf.compat.transform import pad`.
"""

from mnist1d_hf.compat import data, utils
from mnist1d_hf.compat.data import get_dataset, get_dataset_args, get_templates, make_dataset
from mnist1d_hf.compat.transform import transform
from mnist1d_hf.compat.utils import ObjectView, from_pickle, plot_signals, set_seed, to_pickle

__all__ = [
    "ObjectView",
    "data",
    "from_pickle",
    "get_dataset",
    "get_dataset_args",
    "get_templates",
    "make_dataset",
    "plot_signals",
    "set_seed",
    "to_pickle",
    "transform",
    "utils",
]
