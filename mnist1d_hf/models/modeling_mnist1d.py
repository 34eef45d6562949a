"""The MNIST-1D networks. This file travels to the Hub with the weights: it needs torch and transformers only."""

from __future__ import annotations

import itertools
import json
import os
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import cached_file

from .configuration_mnist1d import Mnist1dConfig

_ACTIVATIONS: dict[str, type[nn.Module]] = {
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
        self.network = Network(config)
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
        """As in transformers, from safetensors only, and with every weight in its place.

        Raises:
            ValueError: weights that do not fit the configuration, or a request for pickled ones.
            OSError: no safetensors file, or a damaged one.
        """
        if kwargs.get("use_safetensors") is False:
            raise ValueError("use_safetensors: only safetensors is read; pickled weights can run any code")
        name, wanted = pretrained_model_name_or_path, kwargs.pop("output_loading_info", False)
        if isinstance(name, (str, os.PathLike)):
            _check_source(os.fspath(name), kwargs)
        kwargs |= {"use_safetensors": True, "output_loading_info": True}
        try:
            model, info = super().from_pretrained(name, *args, **kwargs)
        except RuntimeError as error:
            raise ValueError(f"{name}: the weights do not fit the configuration: {_first_line(error)}") from error
        except Exception as error:
            if type(error).__name__ != "SafetensorError":
                raise
            raise OSError(f"{name}: model.safetensors is damaged ({error}); fetch or save it again") from error
        for kind, problem in (
            ("missing_keys", "lacks"),
            ("unexpected_keys", "has unknown"),
            ("mismatched_keys", "has misshapen"),
        ):
            if info.get(kind):
                first = sorted(map(str, info[kind]))[0]
                raise ValueError(f"{name}: the file {problem} weights that the configuration asks for: {first}")
        return (model, info) if wanted else model

    @classmethod
    def _load_pretrained_model(
        cls, model: Any, state_dict: Any, checkpoint_files: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Where transformers reads the files, whatever named them: the last gate for pickled ones."""
        for file in checkpoint_files or []:
            _check_name(os.fspath(file))
        return super()._load_pretrained_model(model, state_dict, checkpoint_files, *args, **kwargs)

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, as safetensors only."""
        if kwargs.get("safe_serialization") is False:
            raise ValueError("safe_serialization: only safetensors is written; leave the argument out")
        return super().save_pretrained(save_directory, *args, **kwargs)


def _check_source(name: str, arguments: dict[str, Any]) -> None:
    """Refuse a file, a folder and a repository that would have transformers read anything but safetensors."""
    if os.path.isfile(name):
        raise OSError(f"{name}: expected the folder of the model, found a file; give {os.path.dirname(name) or '.'!r}")
    if os.path.isdir(name):
        _check_folder(name, arguments.get("subfolder") or "")
    keys = ("cache_dir", "force_download", "proxies", "token", "revision", "local_files_only", "subfolder")
    options: dict[str, Any] = {key: arguments[key] for key in keys if arguments.get(key) is not None}
    options |= {
        f"_raise_exceptions_for_{kind}": False for kind in ("gated_repo", "missing_entries", "connection_errors")
    }
    variant = f".{arguments['variant']}" if arguments.get("variant") else ""
    if cached_file(name, f"model{variant}.safetensors", **options) is None:
        index = cached_file(name, f"model.safetensors.index{variant}.json", **options)
        if index is not None:
            with open(index, encoding="utf-8") as file:
                for shard in json.load(file).get("weight_map", {}).values():
                    _check_name(str(shard))


def _check_folder(folder: str, subfolder: str) -> None:
    place = os.path.join(folder, subfolder)
    files = os.listdir(place) if os.path.isdir(place) else []
    pickled = [file for file in files if file.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if pickled and not any(file.endswith((".safetensors", ".safetensors.index.json")) for file in files):
        raise OSError(f"{folder}: only {pickled[0]} is there; pickled weights are not read, save them as safetensors")


def _check_name(file: str) -> None:
    if not file.endswith(".safetensors"):
        raise OSError(f"{file}: pickled weights are not read, only *.safetensors; save them as safetensors")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)] if lines else type(error).__name__


class Network(nn.Module):
    """From signals (..., length) to logits (..., classes).

    Only the last axes are spoken of, so that a training loop can swap the layers for ones with more axes in front.
    """

    def __init__(self, config: Mnist1dConfig) -> None:
        super().__init__()
        self.architecture, self.pooling = config.architecture, config.pooling
        stages, features = _STAGES[config.architecture](config)
        self.stages = nn.ModuleList(stages)
        self.output = nn.Linear(features, config.num_labels)

    def forward(self, x: Tensor, states: list[Tensor] | None = None) -> Tensor:
        if self.architecture in ("cnn", "resnet"):
            x = x.unsqueeze(-2)
        elif self.architecture == "gru":
            x = x.unsqueeze(-1)
        for stage in self.stages:
            x = stage(x)
            if states is not None:
                states.append(x)
        if self.architecture == "resnet" and self.pooling != "flatten":
            x = x.mean(-1) if self.pooling == "mean" else x.amax(-1)
        elif self.architecture in ("cnn", "gru", "resnet"):
            x = x.flatten(-2)
        if states is not None:
            states.append(x)
        return self.output(x)


class Dense(nn.Module):
    """A hidden layer; a residual one adds to what it is given."""

    def __init__(self, config: Mnist1dConfig, before: int, width: int, first: bool) -> None:
        super().__init__()
        self.residual = config.residual and before == width and not first
        self.linear = nn.Linear(before, width, bias=_bias(config))
        self.normalization = _normalization(config, width)
        self.activation = _ACTIVATIONS[config.activation]()
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
        self.activation = _ACTIVATIONS[config.activation]()
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
        self.activation1 = _ACTIVATIONS[config.activation]()
        self.convolution1 = nn.Conv1d(before, width, kernel, stride, padding, **options)
        self.normalization2 = _normalization(config, width)
        self.activation2 = _ACTIVATIONS[config.activation]()
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
        self.activation = _ACTIVATIONS[config.activation]()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.activation(self.normalization(x)))


def _bias(config: Mnist1dConfig) -> bool:
    """A bias in front of batch normalisation would be subtracted again, and drift with the rounding."""
    return config.normalization != "batch"


def _normalization(config: Mnist1dConfig, width: int) -> nn.Module:
    kinds: dict[str | None, Any] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    return kinds[config.normalization](width) if config.normalization in kinds else nn.Identity()


def _logistic(config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
    return [], config.sequence_length


def _mlp(config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
    sizes = [config.sequence_length, *(config.widths or [])]
    pairs = enumerate(itertools.pairwise(sizes))
    return [Dense(config, before, width, number == 0) for number, (before, width) in pairs], sizes[-1]


def _cnn(config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
    channels = [1, *(config.widths or [])]
    geometry = zip(config.kernel_sizes or [], config.strides or [], config.paddings or [], strict=True)
    pairs = zip(channels[:-1], channels[1:], geometry, strict=True)
    stages: list[nn.Module] = [Convolution(config, before, width, *item) for before, width, item in pairs]
    return stages, channels[-1] * config.stage_lengths()[-1]


def _gru(config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
    widths = config.widths or []
    return [Recurrence(config, widths)], config.sequence_length * widths[0] * (2 if config.bidirectional else 1)


def _resnet(config: Mnist1dConfig) -> tuple[list[nn.Module], int]:
    widths, kernel = config.widths or [], (config.kernel_sizes or [5, 3])[0]
    options: dict[str, Any] = {"padding_mode": config.padding_mode, "bias": _bias(config)}
    stages: list[nn.Module] = [nn.Conv1d(1, widths[0], kernel, 1, kernel // 2, **options)]
    before = widths[0]
    for width, stride, dilation in zip(widths, config.strides or [], config.dilations or [], strict=True):
        stages.append(ResidualBlock(config, before, width, stride, dilation))
        before = width
    stages.append(Head(config, before))
    return stages, before * (config.stage_lengths()[-1] if config.pooling == "flatten" else 1)


_STAGES = {"logistic": _logistic, "mlp": _mlp, "cnn": _cnn, "gru": _gru, "resnet": _resnet}
