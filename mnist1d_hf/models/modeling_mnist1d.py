"""The MNIST-1D networks. This file travels to the Hub with the weights: it needs torch and transformers only."""

from __future__ import annotations

import itertools
import json
import os
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import cached_file

from .configuration_mnist1d import Mnist1dConfig

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


class Mnist1dForSequenceClassification(PreTrainedModel):
    """A classifier of one-dimensional signals; the architecture is in the configuration.

    Initial weights are those that torch's layers give themselves.

    >>> model = Mnist1dForSequenceClassification(Mnist1dConfig(architecture="mlp"))
    >>> model.num_parameters()
    15210
    >>> model(torch.zeros(2, 40)).logits.shape
    torch.Size([2, 10])
    """

    config_class = Mnist1dConfig
    base_model_prefix = ""
    main_input_name = "x"

    def __init__(self, config: Mnist1dConfig) -> None:
        super().__init__(config)
        self.network = ARCHITECTURES[config.architecture](config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: torch's layers have initialised themselves, and weights that are missing in a file are an error."""

    def forward(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Logits, and the loss where labels are given.

        Args:
            x: signals, floating point (batch, sequence_length), as the dataset has them: standardised.
            labels: int64 (batch,), 0 .. num_labels - 1; the loss is the mean cross-entropy.
            output_hidden_states: also return what each stage gives out and, last, the features before the output.
            return_dict: False for a tuple.
            kwargs: handed on to the loss function.

        Returns:
            `logits` (batch, num_labels), `loss` and `hidden_states` where asked for.

        Raises:
            ValueError, TypeError: wrong shape or dtype, numbers that are not finite, labels out of range.
        """
        self._check(x, labels)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        states: list[Tensor] | None = [] if output_hidden_states else None
        logits = self.network(x, states)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        hidden_states = None if states is None else tuple(states)
        output = SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden_states)
        return output if return_dict is not False else output.to_tuple()

    def _check(self, x: Tensor, labels: Tensor | None) -> None:
        """Refuse what would fail somewhere inside, or give an answer without meaning."""
        length, classes = self.config.sequence_length, self.config.num_labels
        if x.dim() != 2 or x.shape[1] != length:
            raise ValueError(f"x: expected shape (batch, {length}), found {tuple(x.shape)}")
        if not x.is_floating_point():
            raise TypeError(f"x: expected floating point numbers, found {x.dtype}; convert with x.float()")
        if labels is not None and labels.shape != x.shape[:1]:
            raise ValueError(f"labels: expected shape ({x.shape[0]},), found {tuple(labels.shape)}")
        if labels is not None and labels.dtype != torch.long:
            raise TypeError(f"labels: expected torch.int64, found {labels.dtype}; convert with labels.long()")
        if torch.compiler.is_compiling() or x.is_meta or x.device.type != "cpu":
            return  # what follows looks at values: a graph cannot, and a GPU would have to be waited for
        if not torch.isfinite(x.sum()) and not torch.isfinite(x).all():
            raise ValueError("x: expected finite numbers, found NaN or infinity")
        if labels is not None and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
            raise ValueError(f"labels: expected 0 to {classes - 1}, found {wrong}")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but weights are read from safetensors only, and every weight has to be there.

        The files are read here and handed to transformers as a `state_dict`, because transformers has several ways to
        read pickled files, which can run any code.

        Raises:
            ValueError: the weights do not fit the configuration, or pickled ones are asked for.
            OSError: there is no safetensors file, or it is damaged.
        """
        if kwargs.get("use_safetensors") is False:
            raise ValueError("use_safetensors: only safetensors is read; pickled weights can run any code")
        source = name = pretrained_model_name_or_path
        wants_info = kwargs.pop("output_loading_info", False)
        if name is not None and kwargs.get("state_dict") is None:
            kwargs |= {"state_dict": _read_weights(os.fspath(name), kwargs), "config": kwargs.get("config") or name}
            source = None
        try:
            model, info = super().from_pretrained(source, *args, output_loading_info=True, **kwargs)
        except RuntimeError as error:
            raise ValueError(f"{name}: the weights do not fit the configuration: {_first_line(error)}") from error
        for problem in ("missing", "unexpected", "mismatched"):
            for key in sorted(map(str, info.get(f"{problem}_keys") or [])):
                raise ValueError(f"{name}: the weights do not fit the configuration: {problem} {key}")
        if name is not None:
            model.name_or_path = model.config.name_or_path = os.fspath(name)
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, as safetensors only."""
        if kwargs.get("safe_serialization") is False:
            raise ValueError("safe_serialization: only safetensors is written; leave the argument out")
        return super().save_pretrained(save_directory, *args, **kwargs)


def _read_weights(name: str, arguments: dict[str, Any]) -> dict[str, Tensor]:
    """The weights in a folder or a repository: from model.safetensors, or from the shards that its index lists.

    Args:
        name: folder or repository.
        arguments: of `from_pretrained`; used are those that say where the file is.
    """
    if os.path.isfile(name):
        raise OSError(f"{name}: expected the folder of the model, found a file; give {os.path.dirname(name) or '.'!r}")
    keys = ("cache_dir", "force_download", "proxies", "token", "revision", "local_files_only", "subfolder")
    options: dict[str, Any] = {key: arguments[key] for key in keys if arguments.get(key) is not None}
    options["_raise_exceptions_for_missing_entries"] = False  # a missing file gives None
    variant = f".{arguments['variant']}" if arguments.get("variant") else ""

    def find(file: str) -> str | None:
        if not file.endswith(".safetensors"):
            raise OSError(f"{name}: {file}: pickled weights are not read; save them as safetensors")
        return cached_file(name, file, **options)

    usual = f"model{variant}.safetensors"
    files = {usual: find(usual)}
    index = cached_file(name, f"model.safetensors.index{variant}.json", **options) if files[usual] is None else None
    if index is not None:
        with open(index, encoding="utf-8") as opened:
            files = {shard: find(shard) for shard in set(json.load(opened)["weight_map"].values())}
    weights: dict[str, Tensor] = {}
    for file, path in files.items():
        if path is None:
            raise OSError(f"{name}: {file} is missing; pickled weights are not read, save them as safetensors")
        try:
            weights |= load_file(path)
        except SafetensorError as error:
            raise OSError(f"{name}: {file} is damaged ({error}); fetch or save it again") from error
    return weights


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)] if lines else type(error).__name__


ARCHITECTURES: dict[str, type[Network]] = {}
"""The architectures by name. Subclasses of `Network` enter themselves."""


class Network(nn.Module):
    """From signals (..., length) to logits (..., classes): stages, one after the other, and a linear output.

    Each architecture is a subclass. `forward` uses only the last axes, so that a training loop can replace the layers
    by ones with more axes in front.

    Attributes:
        name: value of `architecture` in the configuration.
        kind: the architecture in words, for the model card.
        default_widths: `widths` of the configuration where the user gives none.
        normalizations: possible values of `normalization`, the default first.
        per_stage: fields of the configuration with one value for each of `widths`.
        fields: fields of the configuration that shape the network, each with its words for the model card.
        channel_axis: where the first stage expects an axis of channels; None if it expects none.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    default_widths: ClassVar[list[int]]
    normalizations: ClassVar[tuple[str, ...]] = ("none",)
    per_stage: ClassVar[tuple[str, ...]] = ()
    fields: ClassVar[dict[str, str]] = {}
    channel_axis: ClassVar[int | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        ARCHITECTURES[cls.name] = cls

    def __init__(self, config: Mnist1dConfig) -> None:
        super().__init__()
        stages, features = self.build(config)
        self.stages = nn.ModuleList(stages)
        self.output = nn.Linear(features, config.num_labels)

    @classmethod
    def build(cls, config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
        """The stages, and the number of features that the output takes."""
        raise NotImplementedError

    @classmethod
    def defaults(cls, stages: int) -> dict[str, Any]:  # noqa: ARG003
        """Values for fields of the configuration that are None; `stages` is the number of widths."""
        return {}

    @classmethod
    def check(cls, config: Mnist1dConfig) -> None:
        """Raise a ValueError where the fields of the configuration do not fit the architecture, or one another."""
        count = len(config.widths or [])
        if not count:
            raise ValueError(f"widths: expected at least one for {cls.name}, found none")
        for field in cls.per_stage:
            found = len(getattr(config, field))
            if found != count:
                raise ValueError(f"{field}: expected as many as widths, {count}, found {found}")

    @classmethod
    def shape(cls, config: Mnist1dConfig) -> dict[str, str]:
        """What shapes the network, for the model card: words and values.

        >>> ARCHITECTURES["gru"].shape(Mnist1dConfig(architecture="gru"))
        {'hidden units': '6', 'reads both ways': 'yes'}
        """
        return {words: _in_words(getattr(config, field)) for field, words in cls.fields.items()}

    def forward(self, x: Tensor, states: list[Tensor] | None = None) -> Tensor:
        """Logits (..., classes); the output of each stage and, last, the features are appended to `states`."""
        if self.channel_axis is not None:
            x = x.unsqueeze(self.channel_axis)
        for stage in self.stages:
            x = stage(x)
            if states is not None:
                states.append(x)
        x = self.features(x)
        if states is not None:
            states.append(x)
        return self.output(x)

    def features(self, x: Tensor) -> Tensor:
        """Features (..., features) from the output of the last stage."""
        return x if self.channel_axis is None else x.flatten(-2)


_LAYER_FIELDS = {"activation": "activation", "normalization": "normalisation", "dropout": "dropout"}


class Logistic(Network):
    """Softmax regression: no stage, only the output. `widths` is empty."""

    name = "logistic"
    kind = "logistic regression"
    default_widths = []

    @classmethod
    def check(cls, config: Mnist1dConfig) -> None:
        if config.widths:
            raise ValueError(f"widths: a logistic regression has no hidden layer, found {config.widths}")

    @classmethod
    def build(cls, config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
        return [], config.sequence_length


class Mlp(Network):
    """One hidden layer for each of `widths`, with dropout after it.

    If `residual`, a layer as wide as the one before adds to its input.
    """

    name = "mlp"
    kind = "dense network"
    default_widths = [100, 100]
    normalizations = ("none", "batch", "layer")
    fields = {
        "widths": "units of the hidden layers",
        "residual": "layers of equal width add to their input",
        **_LAYER_FIELDS,
    }

    @classmethod
    def build(cls, config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
        sizes = [config.sequence_length, *(config.widths or [])]
        pairs = enumerate(itertools.pairwise(sizes))
        return [Dense(config, before, width, number == 0) for number, (before, width) in pairs], sizes[-1]


class Cnn(Network):
    """One convolution for each of `widths`, with its `kernel_sizes`, `strides` and `paddings`, and dropout after it.

    The features are all outputs of the last convolution.
    """

    name = "cnn"
    kind = "convolutional network"
    default_widths = [25, 25, 25]
    normalizations = ("none", "batch")
    per_stage = ("kernel_sizes", "strides", "paddings")
    fields = {
        "widths": "channels",
        "kernel_sizes": "kernel sizes",
        "strides": "strides",
        "paddings": "paddings",
        **_LAYER_FIELDS,
    }
    channel_axis = -2

    @classmethod
    def defaults(cls, stages: int) -> dict[str, Any]:
        return {"kernel_sizes": [5, *[3] * (stages - 1)][:stages], "strides": [2] * stages, "paddings": [1] * stages}

    @classmethod
    def check(cls, config: Mnist1dConfig) -> None:
        super().check(config)
        for stage, length in enumerate(cls._lengths(config), start=1):
            if length < 1:
                raise ValueError(f"sequence_length: {config.sequence_length} points are too few for stage {stage}")

    @classmethod
    def _lengths(cls, config: Mnist1dConfig) -> list[int]:
        """Points that each stage gives out."""
        lengths = [config.sequence_length]
        for kernel, stride, padding in _by_stage(config, *cls.per_stage):
            lengths.append((lengths[-1] + 2 * padding - kernel) // stride + 1)
        return lengths[1:]

    @classmethod
    def build(cls, config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
        stages: list[nn.Module] = []
        before = 1
        for width, kernel, stride, padding in _by_stage(config, "widths", *cls.per_stage):
            stages.append(Convolution(config, before, width, kernel, stride, padding))
            before = width
        return stages, before * cls._lengths(config)[-1]


class Gru(Network):
    """A recurrent network with one layer for each of `widths`, all equal.

    If `bidirectional`, it reads the signal both ways. The features are its outputs at all steps, after dropout.
    """

    name = "gru"
    kind = "recurrent network (GRU)"
    default_widths = [6]
    fields = {"widths": "hidden units", "bidirectional": "reads both ways"}
    channel_axis = -1

    @classmethod
    def check(cls, config: Mnist1dConfig) -> None:
        super().check(config)
        if len(set(config.widths or [])) > 1:
            raise ValueError(f"widths: the layers of a gru are equally wide, found {config.widths}")

    @classmethod
    def build(cls, config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
        widths = config.widths or []
        return [Recurrence(config, widths)], config.sequence_length * widths[0] * (2 if config.bidirectional else 1)


class ResNet(Network):
    """A convolution, one residual block for each of `widths`, and `pooling` over the length.

    `kernel_sizes` has two values: for the first convolution and for all others. `strides` and `dilations` are those of
    the blocks. Dropout comes before the pooling.
    """

    name = "resnet"
    kind = "residual convolutional network"
    default_widths = [32, 64, 64, 64]
    normalizations = ("batch", "none")
    per_stage = ("strides", "dilations")
    fields = {
        "widths": "channels of the stages",
        "kernel_sizes": "kernel sizes (first convolution, all others)",
        "strides": "strides",
        "dilations": "dilations",
        "padding_mode": "padding",
        "pooling": "pooling before the output",
        **_LAYER_FIELDS,
    }
    channel_axis = -2

    def __init__(self, config: Mnist1dConfig) -> None:
        super().__init__(config)
        self.pooling = config.pooling

    @classmethod
    def defaults(cls, stages: int) -> dict[str, Any]:
        return {"kernel_sizes": [5, 3], "strides": [1, *[2] * (stages - 1)][:stages], "dilations": [1] * stages}

    @classmethod
    def check(cls, config: Mnist1dConfig) -> None:
        super().check(config)
        sizes = config.kernel_sizes or []
        if len(sizes) != 2 or any(size % 2 == 0 for size in sizes):
            raise ValueError(f"kernel_sizes: expected two odd numbers for resnet, found {sizes}")

    @classmethod
    def build(cls, config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
        before, kernel = (config.widths or [1])[0], (config.kernel_sizes or [5])[0]
        options: dict[str, Any] = {"padding_mode": config.padding_mode, "bias": _bias(config)}
        stages: list[nn.Module] = [nn.Conv1d(1, before, kernel, 1, kernel // 2, **options)]
        length = config.sequence_length
        for width, stride, dilation in _by_stage(config, "widths", *cls.per_stage):
            stages.append(ResidualBlock(config, before, width, stride, dilation))
            before, length = width, (length - 1) // stride + 1
        stages.append(Head(config, before))
        return stages, before * (length if config.pooling == "flatten" else 1)

    def features(self, x: Tensor) -> Tensor:
        if self.pooling == "flatten":
            return x.flatten(-2)
        return x.mean(-1) if self.pooling == "mean" else x.amax(-1)


class Transformer(Network):
    """An encoder over patches of the signal: one block for each of `widths`, all equal, and the mean over the patches.

    `kernel_sizes`, `strides` and `paddings` have one value each: points of a patch, points from one patch to the next,
    zeros at both ends. Positions are learned. Normalisation comes before attention and dense layers (pre-norm), and
    dropout after each. Vaswani et al. 2017 (arXiv 1706.03762), Xiong et al. 2020 (arXiv 2002.04745).
    """

    name = "transformer"
    kind = "transformer encoder"
    default_widths = [32, 32]
    normalizations = ("layer",)
    fields = {
        "widths": "widths of the blocks",
        "kernel_sizes": "points of a patch",
        "strides": "points from one patch to the next",
        "paddings": "zeros at both ends",
        **_LAYER_FIELDS,
    }
    channel_axis = -2
    heads = 4  # of attention, in each block

    @classmethod
    def defaults(cls, stages: int) -> dict[str, Any]:  # noqa: ARG003
        return {"kernel_sizes": [5], "strides": [1], "paddings": [2]}

    @classmethod
    def check(cls, config: Mnist1dConfig) -> None:
        super().check(config)
        widths, length = config.widths or [], config.sequence_length
        if len(set(widths)) > 1 or widths[0] % cls.heads:
            raise ValueError(f"widths: expected one multiple of {cls.heads} for all blocks, found {widths}")
        for field in ("kernel_sizes", "strides", "paddings"):
            if len(getattr(config, field)) != 1:
                raise ValueError(f"{field}: expected one number for transformer, found {getattr(config, field)}")
        patches, unread = cls._patches(config)
        if patches < 1:
            raise ValueError(f"sequence_length: {length} points are too few for one patch")
        if unread > 0:
            raise ValueError(f"strides: the last {unread} of {length} points are in no patch")

    @staticmethod
    def _patches(config: Mnist1dConfig) -> tuple[int, int]:
        """The number of patches, and how many points at the end are in none of them."""
        ((kernel, stride, padding),) = _by_stage(config, "kernel_sizes", "strides", "paddings")
        count, rest = divmod(config.sequence_length + 2 * padding - kernel, stride)
        return count + 1, rest - padding

    @classmethod
    def build(cls, config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
        widths = config.widths or []
        blocks = [EncoderBlock(config, width, cls.heads) for width in widths]
        return [Patches(config, widths[0], cls._patches(config)[0]), *blocks, nn.LayerNorm(widths[0])], widths[0]

    def features(self, x: Tensor) -> Tensor:
        return x.mean(-2)


def _by_stage(config: Mnist1dConfig, *fields: str) -> list[tuple[int, ...]]:
    """The values of these fields of the configuration, stage by stage."""
    return list(zip(*(getattr(config, field) for field in fields), strict=True))


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


class Dense(nn.Module):
    """A hidden layer; a residual one adds to what it is given."""

    def __init__(self, config: Mnist1dConfig, before: int, width: int, first: bool) -> None:
        super().__init__()
        self.residual = config.residual and before == width and not first
        self.linear = nn.Linear(before, width, bias=_bias(config))
        self.normalization = _normalization(config, width)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.normalization(self.linear(x)))
        return self.dropout(x + y if self.residual else y)


class Convolution(nn.Module):
    """A convolution with its activation."""

    def __init__(self, config: Mnist1dConfig, before: int, width: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(before, width, kernel, stride, padding, bias=_bias(config))
        self.normalization = _normalization(config, width)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.activation(self.normalization(self.convolution(x))))


class Recurrence(nn.Module):
    """A GRU, of which the outputs of all steps are kept."""

    def __init__(self, config: Mnist1dConfig, widths: list[int]) -> None:
        super().__init__()
        self.gru = nn.GRU(1, widths[0], len(widths), batch_first=True, bidirectional=config.bidirectional)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.gru(x)[0])


class ResidualBlock(nn.Module):
    """Normalisation, activation, convolution, twice, added to the input (He et al. 2016, arXiv 1603.05027)."""

    def __init__(self, config: Mnist1dConfig, before: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        kernel = (config.kernel_sizes or [5, 3])[1]
        padding = dilation * (kernel // 2)
        options: dict[str, Any] = {"dilation": dilation, "padding_mode": config.padding_mode, "bias": _bias(config)}
        self.normalization1 = _normalization(config, before)
        self.activation1 = ACTIVATIONS[config.activation]()
        self.convolution1 = nn.Conv1d(before, width, kernel, stride, padding, **options)
        self.normalization2 = _normalization(config, width)
        self.activation2 = ACTIVATIONS[config.activation]()
        self.convolution2 = nn.Conv1d(width, width, kernel, 1, padding, **options)
        same = before == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv1d(before, width, 1, stride, bias=_bias(config))

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution1(self.activation1(self.normalization1(x)))
        y = self.convolution2(self.activation2(self.normalization2(y)))
        return self.shortcut(x) + y


class Head(nn.Module):
    """What follows the last residual block."""

    def __init__(self, config: Mnist1dConfig, width: int) -> None:
        super().__init__()
        self.normalization = _normalization(config, width)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.activation(self.normalization(x)))


class Patches(nn.Module):
    """Signals (..., 1, length) as (..., patches, width): a linear map of each patch, and its learned position."""

    def __init__(self, config: Mnist1dConfig, width: int, patches: int) -> None:
        super().__init__()
        ((kernel, stride, padding),) = _by_stage(config, "kernel_sizes", "strides", "paddings")
        self.convolution = nn.Conv1d(1, width, kernel, stride, padding)
        self.position = nn.Parameter(0.02 * torch.randn(patches, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.convolution(x).transpose(-1, -2) + self.position)


class EncoderBlock(nn.Module):
    """Self-attention, then two dense layers; each normalises what it is given, and adds to it."""

    def __init__(self, config: Mnist1dConfig, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.normalization1 = _normalization(config, width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.normalization2 = _normalization(config, width)
        self.hidden = nn.Linear(width, 2 * width)
        self.activation = ACTIVATIONS[config.activation]()
        self.out = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.normalization1(x)))
        return x + self.dropout(self.out(self.activation(self.hidden(self.normalization2(x)))))

    def attention(self, x: Tensor) -> Tensor:
        """(..., patches, width) in and out; in between each head has (..., heads, patches, width / heads)."""
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).transpose(-4, -2).unbind(-3)
        # Not scaled_dot_product_attention: torch.vmap has no rule for it, and with so few patches it is no faster.
        scores = query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5
        return self.attended((scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2))


def _bias(config: Mnist1dConfig) -> bool:
    """A bias in front of batch normalisation would be subtracted again, and drift with the rounding."""
    return config.normalization != "batch"


def _normalization(config: Mnist1dConfig, width: int) -> nn.Module:
    kinds: dict[str | None, Any] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    return kinds[config.normalization](width) if config.normalization in kinds else nn.Identity()
