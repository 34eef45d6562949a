"""Configuration of the MNIST-1D networks. This file travels to the Hub with the weights: it needs transformers only."""

import dataclasses
import difflib
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PretrainedConfig

ARCHITECTURES = ("logistic", "mlp", "cnn", "gru", "resnet")
ACTIVATIONS = ("relu", "prelu", "gelu", "silu", "tanh", "elu", "leaky_relu", "sigmoid", "softplus")
_WIDTHS = {"logistic": [], "mlp": [100, 100], "cnn": [25, 25, 25], "gru": [6], "resnet": [32, 64, 64, 64]}
_PER_STAGE = {"cnn": ("kernel_sizes", "strides", "paddings"), "resnet": ("strides", "dilations")}


@strict
class Mnist1dConfig(PretrainedConfig):
    """What a network looks like. The defaults of `logistic`, `mlp`, `cnn` and `gru` are the paper's, 410, 15,210,
    5,210 and 5,134 parameters (Greydanus & Kobak 2024, arXiv 2011.14439, section 3).

    Attributes:
        architecture: "logistic", "mlp", "cnn", "gru" or "resnet" (residual convolutions, normalised before each).
        sequence_length: points of a signal.
        widths: units of each hidden layer (mlp), channels of each stage (cnn, resnet), hidden units of each layer (gru,
            all equal).
        activation: "relu", "prelu", "gelu", "silu", "tanh", "elu", "leaky_relu", "sigmoid" or "softplus".
        dropout: share of the activations that is dropped, in [0, 1): after each hidden layer (mlp, cnn), before the
            output (gru, resnet).
        normalization: "none", "batch", or "layer" (mlp only). None takes "batch" for resnet, "none" for the others.
        residual: mlp: whether a hidden layer as wide as the one before adds to it.
        kernel_sizes, strides, paddings: cnn: of each stage; resnet takes `strides` for its stages, and the first of
            `kernel_sizes` for its first convolution, the second for all others.
        dilations: resnet: of each stage.
        padding_mode: resnet: "zeros" or "circular".
        pooling: resnet: "flatten", "mean" or "max" over the length before the output.
        bidirectional: gru: whether it reads both ways.
        num_labels, id2label: classes; ten, called "0" to "9", by default.

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
        weights = kwargs.get("transformers_weights")  # the file that transformers would read instead of the usual one
        if weights is not None and not str(weights).endswith((".safetensors", ".safetensors.index.json")):
            raise ValueError(f"transformers_weights: only safetensors is read, found {weights!r}; remove the entry")
        if self.id2label is None:
            count = kwargs.pop("num_labels", 10)
            if isinstance(count, bool) or not isinstance(count, int) or count < 2:
                raise ValueError(f"num_labels: expected an integer of at least 2, found {count!r}")
            names = [str(number) for number in range(count)]
            self.id2label = dict(enumerate(names))
            self.label2id = {name: number for number, name in enumerate(names)}
        elif kwargs.get("num_labels", len(self.id2label)) != len(self.id2label):
            raise ValueError(f"num_labels: {kwargs['num_labels']}, but id2label has {len(self.id2label)} names")
        if self.architecture in _WIDTHS:
            self._fill_defaults()
        super().__post_init__(**kwargs)

    def _fill_defaults(self) -> None:
        if self.widths is None:
            self.widths = list(_WIDTHS[self.architecture])
        if self.normalization is None:
            self.normalization = "batch" if self.architecture == "resnet" else "none"
        count = len(self.widths)
        if self.architecture == "cnn":
            self.kernel_sizes = self.kernel_sizes or [5, *[3] * (count - 1)][:count]
            self.strides = self.strides or [2] * count
            self.paddings = self.paddings if self.paddings is not None else [1] * count
        if self.architecture == "resnet":
            self.kernel_sizes = self.kernel_sizes or [5, 3]
            self.strides = self.strides or [1, *[2] * (count - 1)][:count]
            self.dilations = self.dilations or [1] * count

    def validate_names(self) -> None:
        """Names are among those that exist."""
        for field, legal in (
            ("architecture", ARCHITECTURES),
            ("activation", ACTIVATIONS),
            ("normalization", ("none", "batch", "layer")),
            ("padding_mode", ("zeros", "circular")),
            ("pooling", ("flatten", "mean", "max")),
        ):
            found = getattr(self, field)
            if found not in legal:
                raise ValueError(f"{field}: expected one of {', '.join(legal)}, found {found!r}")
        if self.normalization == "layer" and self.architecture != "mlp":
            raise ValueError(f"normalization: 'layer' goes with mlp, not with {self.architecture}")
        if self.normalization == "batch" and self.architecture in ("logistic", "gru"):
            raise ValueError(f"normalization: 'batch' does not go with {self.architecture}")

    def validate_numbers(self) -> None:
        """Numbers are in their ranges."""
        if self.sequence_length < 1:
            raise ValueError(f"sequence_length: expected at least 1, found {self.sequence_length}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a share from 0 to below 1, found {self.dropout}")
        for field, least in (("widths", 1), ("kernel_sizes", 1), ("strides", 1), ("paddings", 0), ("dilations", 1)):
            for value in getattr(self, field) or []:
                if value < least:
                    raise ValueError(f"{field}: expected integers of at least {least}, found {value}")

    def validate_stages(self) -> None:
        """Lists fit one another, and the signal is long enough for the strides."""
        widths = self.widths or []
        if self.architecture == "logistic" and widths:
            raise ValueError(f"widths: a logistic regression has no hidden layer, found {widths}")
        if self.architecture != "logistic" and not widths:
            raise ValueError(f"widths: expected at least one for {self.architecture}, found none")
        if self.architecture == "gru" and len(set(widths)) > 1:
            raise ValueError(f"widths: the layers of a gru are equally wide, found {widths}")
        for field in _PER_STAGE.get(self.architecture, ()):
            if len(getattr(self, field)) != len(widths):
                raise ValueError(
                    f"{field}: expected as many as widths, {len(widths)}, found {len(getattr(self, field))}"
                )
        if self.architecture == "resnet":
            sizes = self.kernel_sizes or []
            if len(sizes) != 2 or any(size % 2 == 0 for size in sizes):
                raise ValueError(f"kernel_sizes: expected two odd numbers for resnet, found {sizes}")
        for stage, length in enumerate(self.stage_lengths(), start=1):
            if length < 1:
                raise ValueError(f"sequence_length: {self.sequence_length} points are too few for stage {stage}")

    def stage_lengths(self) -> list[int]:
        """Points that each stage of a cnn or resnet gives out.

        >>> Mnist1dConfig().stage_lengths()
        [19, 10, 5]
        """
        length, lengths = self.sequence_length, []
        if self.architecture == "cnn":
            for kernel, stride, padding in zip(
                self.kernel_sizes or [], self.strides or [], self.paddings or [], strict=True
            ):
                length = (length + 2 * padding - kernel) // stride + 1
                lengths.append(length)
        if self.architecture == "resnet":
            for stride in self.strides or []:
                length = (length - 1) // stride + 1
                lengths.append(length)
        return lengths


def _refuse_slips(config: type, arguments: dict[str, Any]) -> None:
    """transformers keeps unknown arguments as attributes; one that is nearly an option was meant to be it."""
    options = [field.name for field in dataclasses.fields(config)]
    for name in arguments:
        near = difflib.get_close_matches(name, options, n=1, cutoff=0.8)
        if near and name not in ("num_labels", "output_hidden_states"):
            raise ValueError(f"unknown argument {name!r}: did you mean {near[0]!r}?")
