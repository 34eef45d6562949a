"""Configuration of the MNIST-1D networks.

This file, modeling_mnist1d.py and pipeline_mnist1d.py travel to the Hub with the weights. What concerns one
architecture only, its defaults and checks, stands in its class in modeling_mnist1d.py. There is no `from __future__
import annotations` here: `strict` checks types from the annotations, and cannot if they are strings.
"""

import copy
import dataclasses
import difflib
import operator
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PretrainedConfig

# Entry of a saved config.json: where transformers finds the code, with `trust_remote_code=True`.
AUTO_MAP = {
    "AutoConfig": "configuration_mnist1d.Mnist1dConfig",
    "AutoModel": "modeling_mnist1d.Mnist1dModel",
    "AutoModelForSequenceClassification": "modeling_mnist1d.Mnist1dForSequenceClassification",
}


@strict
class Mnist1dConfig(PretrainedConfig):
    """What a network looks like. The defaults of `logistic`, `mlp`, `cnn` and `gru` are the paper's, 410, 15,210,
    5,210 and 5,134 parameters (Greydanus & Kobak 2024, arXiv 2011.14439, section 3).

    Attributes:
        architecture: a name in `ARCHITECTURES` of modeling_mnist1d.py, where each class says how it uses the fields.
        sequence_length: points of a signal.
        widths: units or channels of each stage.
        activation: "relu", "prelu", "gelu", "silu", "tanh", "elu", "leaky_relu", "sigmoid" or "softplus".
        dropout: fraction of the activations that is dropped, in [0, 1).
        normalization: "none", "batch" or "layer"; None takes the default of the architecture.
        residual: whether a stage as wide as the one before adds to its input (mlp).
        kernel_sizes, strides, paddings, dilations: of the convolutions.
        padding_mode: "zeros" or "circular" (resnet).
        pooling: "flatten", "mean" or "max" over the length before the output (resnet).
        bidirectional: whether the signal is read both ways (gru).
        num_labels, id2label: classes; ten, called "0" to "9", by default. Another number than a file's gives them the
            names "LABEL_0", ..., as everywhere in transformers.

    Raises:
        StrictDataclassError: of huggingface_hub; a value of the wrong type, out of range, or at odds with another.

    >>> Mnist1dConfig(architecture="mlp", widths=[64]).id2label[3]
    '3'
    """

    model_type = "mnist1d"

    id2label: dict[int, str] | dict[str, str] | None = None
    label2id: dict[str, int] | dict[str, str] | None = None
    architecture: str = "cnn"
    sequence_length: int = 40
    widths: list[int] | None = None
    activation: str = "relu"
    dropout: float | int = 0.0
    normalization: str | None = None
    residual: bool = True
    kernel_sizes: list[int] | None = None
    strides: list[int] | None = None
    paddings: list[int] | None = None
    dilations: list[int] | None = None
    padding_mode: str = "zeros"
    pooling: str = "mean"
    bidirectional: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        _refuse_slips(type(self), kwargs)
        if kwargs.get("transformers_weights") is not None:  # transformers would read this file instead of the usual one
            found = kwargs["transformers_weights"]
            raise ValueError(f"transformers_weights: only model.safetensors is read, found {found!r}; remove the entry")
        if not __name__.startswith("transformers_modules."):  # the package is here: so is its pipeline
            kwargs.pop("custom_pipelines", None)
        if self.id2label is None:
            names = [str(number) for number in range(_checked_count(kwargs.pop("num_labels", 10)))]
            self.id2label = dict(enumerate(names))
            self.label2id = {name: number for number, name in enumerate(names)}
        elif kwargs.get("num_labels", len(self.id2label)) != len(self.id2label):
            raise ValueError(f"num_labels: {kwargs['num_labels']}, but id2label has {len(self.id2label)} names")
        self._fill_defaults()
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in transformers: another `num_labels` than the file's replaces the names of the classes."""
        if kwargs.get("num_labels") is not None:
            kwargs["num_labels"] = _checked_count(kwargs["num_labels"])
        count = kwargs.get("num_labels")
        if count is not None and count != len(config_dict.get("id2label") or ()):
            names = [f"LABEL_{number}" for number in range(count)]
            label2id = {name: number for number, name in enumerate(names)}
            config_dict = {**config_dict, "id2label": dict(enumerate(names)), "label2id": label2id}
        return super().from_dict(config_dict, **kwargs)

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers; the file also says where the code of the models and of the pipeline is: beside it."""
        from .pipeline_mnist1d import CUSTOM_PIPELINES

        self.auto_map = dict(AUTO_MAP)
        written = copy.copy(self)
        written.custom_pipelines = CUSTOM_PIPELINES
        super(Mnist1dConfig, written).save_pretrained(save_directory, *args, **kwargs)

    def _fill_defaults(self) -> None:
        from .modeling_mnist1d import ARCHITECTURES  # here, because that file imports this one

        if self.architecture not in ARCHITECTURES:
            return  # `validate_names` refuses it
        network = ARCHITECTURES[self.architecture]
        if self.widths is None:
            self.widths = list(network.default_widths)
        if self.normalization is None:
            self.normalization = network.normalizations[0]
        for field, value in network.defaults(len(self.widths)).items():
            if getattr(self, field) is None:
                setattr(self, field, value)

    def validate_names(self) -> None:
        """Names are among those that exist."""
        from .modeling_mnist1d import ACTIVATIONS, ARCHITECTURES

        for field, known in (
            ("architecture", ARCHITECTURES),
            ("activation", ACTIVATIONS),
            ("padding_mode", ("zeros", "circular")),
            ("pooling", ("flatten", "mean", "max")),
        ):
            found = getattr(self, field)
            if found not in known:
                raise ValueError(f"{field}: expected one of {', '.join(known)}, found {found!r}")
        kinds = " or ".join(ARCHITECTURES[self.architecture].normalizations)
        if self.normalization not in ARCHITECTURES[self.architecture].normalizations:
            raise ValueError(f"normalization: expected {kinds} for {self.architecture}, found {self.normalization!r}")

    def validate_numbers(self) -> None:
        """Numbers are in their ranges."""
        if self.sequence_length < 1:
            raise ValueError(f"sequence_length: expected at least 1, found {self.sequence_length}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a fraction from 0 to below 1, found {self.dropout}")
        for field, least in (("widths", 1), ("kernel_sizes", 1), ("strides", 1), ("paddings", 0), ("dilations", 1)):
            for value in getattr(self, field) or []:
                if value < least:
                    raise ValueError(f"{field}: expected integers of at least {least}, found {value}")

    def validate_shape(self) -> None:
        """The fields fit the architecture."""
        from .modeling_mnist1d import ARCHITECTURES

        ARCHITECTURES[self.architecture].check(self)


def _checked_count(count: Any) -> int:
    try:
        number = 0 if isinstance(count, bool) else operator.index(count)  # integers of NumPy, too
    except TypeError:
        number = 0
    if number < 2:
        raise ValueError(f"num_labels: expected an integer of at least 2, found {count!r}")
    return number


def _refuse_slips(config: type, arguments: dict[str, Any]) -> None:
    """transformers keeps unknown arguments as attributes; one that is nearly an option was meant to be it."""
    options = [field.name for field in dataclasses.fields(config)]
    for name in arguments:
        near = difflib.get_close_matches(name, options, n=1, cutoff=0.8)
        if near and name not in ("num_labels", "output_hidden_states"):
            raise ValueError(f"unknown argument {name!r}: did you mean {near[0]!r}?")
