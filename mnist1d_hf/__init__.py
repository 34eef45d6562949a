"""MNIST-1D in the Hugging Face ecosystem.

Importing this package teaches `datasets` the name: `datasets.load_dataset("mnist1d")` finds the builder. It also
announces the models to transformers (the Auto classes and `pipeline` find them), and a stream that ranks share to
`datasets` and accelerate (`data/sharing.py`). It loads neither torch nor transformers: what takes time to import is
loaded when it is first used. The names of the models need the extra "torch".
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING, Any

from mnist1d_hf.data.arrays import to_numpy, to_torch
from mnist1d_hf.data.builder import load_dataset
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.generator import make_dataset
from mnist1d_hf.data.iterable import stream
from mnist1d_hf.data.registry import register as _register
from mnist1d_hf.data.sharing import register as _register_sharing
from mnist1d_hf.data.stream import sample
from mnist1d_hf.data.templates import get_templates
from mnist1d_hf.lazy import register as _register_models

if TYPE_CHECKING:
    from mnist1d_hf.data.posterior import posterior, standardization
    from mnist1d_hf.models import (
        Mnist1dConfig,
        Mnist1dForSequenceClassification,
        Mnist1dModel,
        list_pretrained,
        load_pretrained,
    )

__version__ = _version("mnist1d_hf")
__all__ = [
    "GeneratorConfig",
    "Mnist1dConfig",
    "Mnist1dForSequenceClassification",
    "Mnist1dModel",
    "__version__",
    "get_templates",
    "list_pretrained",
    "load_dataset",
    "load_pretrained",
    "make_dataset",
    "posterior",
    "sample",
    "standardization",
    "stream",
    "to_numpy",
    "to_torch",
]

_MODELS = ("Mnist1dConfig", "Mnist1dForSequenceClassification", "Mnist1dModel", "list_pretrained", "load_pretrained")
_LATER = {
    **dict.fromkeys(_MODELS, "mnist1d_hf.models"),
    **dict.fromkeys(("posterior", "standardization"), "mnist1d_hf.data.posterior"),
}  # name -> module that is imported when the name is first used

if _find_spec("torch") and _find_spec("transformers"):
    _register_models()
else:  # `from mnist1d_hf import *` works without them, too
    __all__ = [name for name in __all__ if name not in _MODELS]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(_import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_register()
_register_sharing()
