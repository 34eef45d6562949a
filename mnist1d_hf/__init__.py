"""MNIST-1D in the Hugging Face ecosystem.

Importing this package lets `datasets.load_dataset("mnist1d")` find the builder; it loads neither torch nor
transformers.
"""

from importlib.metadata import version as _version

from mnist1d_hf.data.arrays import to_numpy, to_torch
from mnist1d_hf.data.builder import load_dataset
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.generator import make_dataset
from mnist1d_hf.data.iterable import stream
from mnist1d_hf.data.registry import register as _register
from mnist1d_hf.data.stream import sample
from mnist1d_hf.data.templates import get_templates

__version__ = _version("mnist1d_hf")
__all__ = [
    "GeneratorConfig",
    "__version__",
    "get_templates",
    "load_dataset",
    "make_dataset",
    "sample",
    "stream",
    "to_numpy",
    "to_torch",
]

_register()
