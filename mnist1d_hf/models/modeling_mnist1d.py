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
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
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


class Mnist1dPreTrainedModel(PreTrainedModel):
    """What the models below have in common: reading and writing of weights, and the checks of signals."""

    config_class = Mnist1dConfig
    base_model_prefix = ""
    main_input_name = "x"
    network: nn.Module

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: torch's layers have initialised themselves."""

    def get_input_embeddings(self) -> nn.Module:
        """The first layer, which takes the signals. peft and gradient checkpointing ask for it."""
        return [*self.network.stages, self.network.output][0]

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights; features of a logistic regression have none."""
        return next((weight.dtype for weight in self.parameters() if weight.is_floating_point()), torch.float32)

    def _signals(self, x: Tensor) -> Tensor:
        """Signals in the dtype of the weights; refuse what would fail later, or give a result without meaning."""
        length = self.config.sequence_length
        if x.dim() != 2 or x.shape[1] != length:
            raise ValueError(f"x: expected shape (batch, {length}), found {tuple(x.shape)}")
        if not x.is_floating_point():
            raise TypeError(f"x: expected floating point numbers, found {x.dtype}; convert with x.float()")
        x = x.to(self.dtype)
        if _can_be_read(x) and not _true(torch.isfinite(x.sum())) and not _true(torch.isfinite(x).all()):
            raise ValueError("x: expected finite numbers, found NaN or infinity")
        return x

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but weights are read from safetensors only, and every weight has to be there.

        The files are read here and handed to transformers as a `state_dict`, because transformers has several ways to
        read pickled files, which can run any code. With `ignore_mismatched_sizes=True`, layers whose weights have
        other shapes start anew, with torch's initial weights; so does the head if the file has features only.

        Raises:
            ValueError: the weights do not fit the configuration, or pickled ones are asked for.
            OSError: there is no safetensors file, or it is damaged.
        """
        if kwargs.get("use_safetensors") is False:
            raise ValueError("use_safetensors: only safetensors is read; pickled weights can run any code")
        source = name = pretrained_model_name_or_path
        wants_info = kwargs.pop("output_loading_info", False)
        resize = kwargs.pop("ignore_mismatched_sizes", False)
        adapter = {**(kwargs.pop("adapter_kwargs", None) or {})}  # of peft, as the Auto classes find it
        if name is not None and kwargs.get("state_dict") is None:
            kwargs |= {"state_dict": _read_weights(os.fspath(name), kwargs), "config": kwargs.get("config") or name}
            source = None
        options: dict[str, Any] = {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = super().from_pretrained(source, *args, **options, **kwargs)
        _check_loaded(name, model, info, resize)
        anew = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
        for module in sorted({key.rpartition(".")[0] for key in anew}):
            model.get_submodule(module).reset_parameters()
        if "_adapter_model_path" in adapter:
            _load_adapter(model, adapter.pop("_adapter_model_path"), adapter)
        if name is not None:
            model.name_or_path = model.config.name_or_path = os.fspath(name)
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, as safetensors only."""
        if kwargs.get("safe_serialization") is False:
            raise ValueError("safe_serialization: only safetensors is written; leave the argument out")
        return super().save_pretrained(save_directory, *args, **kwargs)


class Mnist1dModel(Mnist1dPreTrainedModel):
    """The features of a signal: the network of a classifier without its output layer.

    Loads the folder of a classifier as well as its own. `classifier.base_model` is one that shares the weights.

    >>> model = Mnist1dModel(Mnist1dConfig(architecture="cnn"))
    >>> output = model(torch.zeros(2, 40))
    >>> output.last_hidden_state.shape, output.pooler_output.shape
    (torch.Size([2, 25, 5]), torch.Size([2, 125]))
    """

    _keys_to_ignore_on_load_unexpected = [r"^network\.output\."]

    def __init__(self, config: Mnist1dConfig) -> None:
        super().__init__(config)
        self.network = ARCHITECTURES[config.architecture](config)
        self.network.output = nn.Identity()
        self.post_init()

    def forward(
        self,
        x: Tensor,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> BaseModelOutputWithPooling | tuple[Tensor, ...]:
        """Features of signals.

        Args:
            x: signals, floating point (batch, sequence_length), as the dataset has them: standardised.
            output_hidden_states: also return what each stage gives out and, last, the features.
            return_dict: False for a tuple.
            kwargs: not used.

        Returns:
            `last_hidden_state`: output of the last stage: (batch, sequence_length) for logistic (the signals), (batch,
            width) for mlp, (batch, channels, positions) for cnn and resnet, (batch, steps, directions * width) for gru,
            (batch, patches, width) for transformer.
            `pooler_output`: what the classifier's output layer takes, (batch, features).
            `hidden_states` where asked for.

        Raises:
            ValueError, TypeError: wrong shape or dtype, numbers that are not finite.
        """
        signals = self._signals(x)
        states: list[Tensor] = [signals]
        features = self.network.features_of(signals, states)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        output = BaseModelOutputWithPooling(
            last_hidden_state=states[-2],
            pooler_output=features,
            hidden_states=tuple(states[1:]) if output_hidden_states else None,
        )
        return output if return_dict is not False else output.to_tuple()


class Mnist1dForSequenceClassification(Mnist1dPreTrainedModel):
    """A classifier of one-dimensional signals; the architecture is in the configuration.

    Initial weights are those that torch's layers give themselves.

    >>> model = Mnist1dForSequenceClassification(Mnist1dConfig(architecture="mlp"))
    >>> model.num_parameters()
    15210
    >>> model(torch.zeros(2, 40)).logits.shape
    torch.Size([2, 10])
    """

    def __init__(self, config: Mnist1dConfig) -> None:
        super().__init__(config)
        self.network = ARCHITECTURES[config.architecture](config)
        self.loss_function = cross_entropy
        self.post_init()

    @property
    def base_model(self) -> Mnist1dModel:
        """The features alone. The weights are shared, not copied."""
        with torch.device("meta"):
            model = Mnist1dModel(self.config)
        model.network = self.network
        return model

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
            x: signals, floating point (batch, sequence_length), as the dataset has them: standardised. They are cast
                to the dtype of the weights.
            labels: int64 (batch,), 0 .. num_labels - 1, or -100 for signals that the loss leaves out; the loss is the
                mean cross-entropy.
            output_hidden_states: also return what each stage gives out and, last, the features before the output.
            return_dict: False for a tuple.
            kwargs: handed on to the loss function.

        Returns:
            `logits` (batch, num_labels), `loss` and `hidden_states` where asked for.

        Raises:
            ValueError, TypeError: wrong shape or dtype, numbers that are not finite, labels out of range, labels for
                another `problem_type`. Values are checked on the CPU only, and not under torch.compile or torch.vmap.
        """
        x = self._signals(x)
        if labels is not None:
            self._check_labels(x, labels)
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

    def _check_labels(self, x: Tensor, labels: Tensor) -> None:
        kind, usual = self.config.problem_type, "single_label_classification"
        if kind not in (None, usual):
            raise ValueError(f"problem_type: expected {usual} or None, found {kind!r}; other losses: use the logits")
        classes = self.config.num_labels
        if labels.shape != x.shape[:1]:
            raise ValueError(f"labels: expected shape ({x.shape[0]},), found {tuple(labels.shape)}")
        if labels.dtype != torch.long:
            raise TypeError(f"labels: expected torch.int64, found {labels.dtype}; convert with labels.long()")
        if _can_be_read(labels):
            right = (labels == IGNORED) | ((labels >= 0) & (labels < classes))
            if not _true(right.all()):
                raise ValueError(f"labels: expected 0 to {classes - 1} or {IGNORED}, found {int(labels[~right][0])}")


IGNORED = -100  # label of signals that the loss leaves out, as everywhere in torch and transformers


def cross_entropy(
    labels: Tensor,
    pooled_logits: Tensor,
    config: Mnist1dConfig,  # noqa: ARG001
    num_items_in_batch: Tensor | int | None = None,
    **_: Any,
) -> Tensor:
    """The mean cross-entropy, or the sum divided by `num_items_in_batch` (the Trainer accumulates gradients so).

    transformers' own loss for classifiers does the same, but writes `problem_type` into the configuration.
    """
    if num_items_in_batch is None:
        return nn.functional.cross_entropy(pooled_logits, labels, ignore_index=IGNORED)
    total = nn.functional.cross_entropy(pooled_logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / torch.as_tensor(num_items_in_batch, device=total.device)


def _can_be_read(values: Tensor) -> bool:
    """Whether to look at the values: a graph has none, and a GPU would have to be waited for."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def _true(condition: Tensor) -> bool:
    """The value of a condition; true where it has none of its own, as under torch.vmap."""
    try:
        return bool(condition)
    except RuntimeError:
        return True


def _check_loaded(name: Any, model: Mnist1dPreTrainedModel, info: dict[str, Any], resize: bool) -> None:
    """Refuse weights that do not fit. A head may be missing in a folder that a model without one has written."""
    headless = Mnist1dModel.__name__ in (model.config.architectures or [])
    missing = [key for key in info["missing_keys"] if not (headless and key.startswith("network.output."))]
    problems = [f"missing {key}" for key in missing] + [f"unexpected {key}" for key in info["unexpected_keys"]]
    if not resize:
        problems += [
            f"{key} has shape {tuple(found)}, expected {tuple(expected)}; ignore_mismatched_sizes=True starts it anew"
            for key, found, expected in info["mismatched_keys"]
        ]
    if problems:
        raise ValueError(f"{name}: the weights do not fit the configuration: {min(problems)}")


def _load_adapter(model: Mnist1dPreTrainedModel, name: str, options: dict[str, Any]) -> None:
    """Add an adapter of peft. The file is read here: transformers would read a pickled one if there were no other."""
    path = cached_file(name, "adapter_model.safetensors", _raise_exceptions_for_missing_entries=False, **options)
    if path is None:
        raise OSError(f"{name}: adapter_model.safetensors is missing; pickled weights are not read")
    weights = {key.removeprefix("base_model.model."): value for key, value in load_file(path).items()}
    model.load_adapter(name, adapter_state_dict=weights, adapter_kwargs=options)


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
        return self.output(self.features_of(x, states))

    def features_of(self, x: Tensor, states: list[Tensor] | None = None) -> Tensor:
        """Features (..., features) of signals (..., length); see `forward`."""
        if self.channel_axis is not None:
            x = x.unsqueeze(self.channel_axis)
        for stage in self.stages:
            x = stage(x)
            if states is not None:
                states.append(x)
        x = self.features(x)
        if states is not None:
            states.append(x)
        return x

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

    def reset_parameters(self) -> None:
        """Start anew, as torch's layers can."""
        self.convolution.reset_parameters()
        nn.init.normal_(self.position, std=0.02)

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
