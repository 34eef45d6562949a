"""The weights of the bundled networks in one file, and their layers as a list that networks.js goes through.

Read without torch: a safetensors file is a length, a JSON header and the numbers. Batch normalisation is written as the
scale and the shift that it comes to after training, as weights and bias of the convolution where it follows one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mnist1d_hf

Array = NDArray[Any]
Layer = dict[str, Any]

PRETRAINED = Path(mnist1d_hf.__file__).parent / "models" / "pretrained"
NETWORKS = ("logistic", "mlp", "cnn", "gru", "resnet")  # in the order of the page
# Matrices are stored as integers with a scale for each row. With 24 bits they are as exact as float32, and logits stay
# within 1e-4; with 22 they do not. With 24 the ResNet alone would be as large as the page may be. It has as few as keep
# its class on 9,998 of 10,000 signals, more where it is sensitive to them.
BITS = 24
RESNET_BITS = {
    "stages.0": 12,
    "stages.1.convolution": 10,
    "stages.2.convolution": 9,
    "stages.2.shortcut": 8,
    "stages.3.convolution1": 8,
    "stages.3.convolution2": 7,
    "stages.3.shortcut": 8,
    "stages.4.convolution1": 8,
    "stages.4.convolution2": 6,
    "stages.4.shortcut": 7,
    "output": 9,
}
_EPS = 1e-5  # of torch's batch normalisation


def export_weights() -> tuple[bytes, dict[str, Any]]:
    """The numbers of all networks, one after the other, and what networks.js has to know of them.

    Returns:
        The bytes of weights.bin, and the manifest {name: {"parameters", "accuracy", "layers"}}: parameters before the
        folding, the fraction right on the test split of the released checkpoint, and the layers in order. A vector in
        it is {"shape"}, and float32 in the file. A matrix has "bits" too: in the file there is the scale of each row,
        float32, then integers of so many bits, packed from the lowest bit on, which are 2**(bits - 1) too large. Each
        tensor starts at a multiple of four bytes. They follow one another as the manifest names them.
    """
    file = bytearray()
    manifest = {name: _network(PRETRAINED / name, file) for name in NETWORKS}
    return bytes(file), manifest


def _network(folder: Path, file: bytearray) -> dict[str, Any]:
    config, results = (json.loads((folder / name).read_text("utf-8")) for name in ("config.json", "results.json"))
    tensors = read_safetensors(folder / "model.safetensors")
    layers = _LAYERS[config["architecture"]](config, tensors)
    layers = [_stored(layer, file) for layer in layers]
    return {"parameters": results["parameters"], "accuracy": results["released"]["test"], "layers": layers}


def read_safetensors(path: Path) -> dict[str, Array]:
    """The float32 tensors of a file, by name."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    return {
        name: np.frombuffer(data[start:], "<f4", int(np.prod(entry["shape"])), entry["data_offsets"][0]).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def _stored(layer: Layer, file: bytearray) -> Layer:
    """The layer with descriptions of its tensors in their place, which are appended to the file."""
    bits = layer.get("bits", BITS)
    stored: Layer = {}
    for key, value in layer.items():
        if isinstance(value, np.ndarray):
            stored[key] = _store(value, file, bits if value.ndim > 1 else None)
        elif isinstance(value, list):
            stored[key] = [_stored(inner, file) for inner in value]
        elif key != "bits":
            stored[key] = value
    return stored


def _store(values: Array, file: bytearray, bits: int | None) -> dict[str, Any]:
    """Append a tensor to the file, and describe it."""
    file.extend(bytes(-len(file) % 4))
    entry: dict[str, Any] = {"shape": list(values.shape)}
    if bits is None:
        file.extend(values.astype("<f4").tobytes())
        return entry
    scale, integers = quantize(values, bits)
    places = (integers[:, None] >> np.arange(bits)) & 1
    file.extend(scale.tobytes() + np.packbits(places.astype(np.uint8), bitorder="little").tobytes())
    return {**entry, "bits": bits}


def quantize(values: Array, bits: int) -> tuple[Array, Array]:
    """(scale (rows,) float32, integers (n,)): values = scale * (integers - 2**(bits - 1)), rounded, row by row."""
    rows = values.reshape(len(values), -1).astype(float)
    largest = 2 ** (bits - 1) - 1
    scale = (np.abs(rows).max(1) / largest).astype("<f4")
    integers = np.clip(np.rint(rows / scale[:, None]), -largest, largest)  # the scale was rounded
    return scale, integers.astype(np.int64).ravel() + largest + 1


def resnet_bits(name: str) -> int:
    """Of the matrix with this name.

    >>> resnet_bits("network.stages.1.convolution2.weight")
    10
    """
    return next(bits for start, bits in RESNET_BITS.items() if name.startswith(f"network.{start}"))


def _dense(tensors: dict[str, Array], name: str, **options: int) -> Layer:
    """A dense layer is a convolution over one point, which has all features as its channels."""
    weight, bias = tensors[f"{name}.weight"][..., None], tensors[f"{name}.bias"]
    return {"kind": "convolution", "weight": weight, "bias": bias, **options}


def _convolution(tensors: dict[str, Array], name: str, **options: int) -> Layer:
    layer = {"kind": "convolution", "weight": tensors[f"{name}.weight"], **options}
    return {**layer, "bias": tensors[f"{name}.bias"]} if f"{name}.bias" in tensors else layer


def _normalized(convolution: Layer, normalization: Layer) -> Layer:
    """A convolution with the normalisation that follows it."""
    weight = convolution["weight"] * normalization["scale"][:, None, None]
    return {**convolution, "weight": weight, "bias": normalization["shift"]}


def _normalization(tensors: dict[str, Array], name: str) -> Layer:
    weight, bias, mean, variance = (
        tensors[f"{name}.{part}"].astype(float) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight / np.sqrt(variance + _EPS)
    return {"kind": "affine", "scale": scale, "shift": bias - mean * scale}


_FLATTEN: Layer = {"kind": "flatten"}


def _logistic(_: dict[str, Any], tensors: dict[str, Array]) -> list[Layer]:
    return [_FLATTEN, _dense(tensors, "network.output")]


def _mlp(config: dict[str, Any], tensors: dict[str, Array]) -> list[Layer]:
    layers, before = [_FLATTEN], None
    for stage, width in enumerate(config["widths"]):
        body = [_dense(tensors, f"network.stages.{stage}.linear"), {"kind": config["activation"]}]
        residual = config["residual"] and width == before
        layers += [{"kind": "residual", "body": body, "shortcut": []}] if residual else body
        before = width
    return [*layers, _dense(tensors, "network.output")]


def _cnn(config: dict[str, Any], tensors: dict[str, Array]) -> list[Layer]:
    layers = []
    for stage, (stride, padding) in enumerate(zip(config["strides"], config["paddings"], strict=True)):
        layers += [_convolution(tensors, f"network.stages.{stage}.convolution", stride=stride, padding=padding)]
        layers += [{"kind": config["activation"]}]
    return [*layers, _FLATTEN, _dense(tensors, "network.output")]


def _gru(_: dict[str, Any], tensors: dict[str, Array]) -> list[Layer]:
    directions = [
        {
            "kind": "gru",
            "reverse": bool(suffix),
            **{part: tensors[f"network.stages.0.gru.{part}_l0{suffix}"] for part in _GRU_PARTS},
        }
        for suffix in ("", "_reverse")
    ]
    return [{"kind": "both", "body": directions[:1], "shortcut": directions[1:]}, _dense(tensors, "network.output")]


_GRU_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _resnet(config: dict[str, Any], tensors: dict[str, Array]) -> list[Layer]:
    activation = {"kind": config["activation"]}
    outer, inner = (
        {"padding": size // 2, "circular": config["padding_mode"] == "circular"} for size in config["kernel_sizes"]
    )

    def convolution(name: str, **options: int) -> Layer:
        return _convolution(tensors, name, bits=resnet_bits(name), **options)

    layers = [convolution("network.stages.0", **outer)]
    for stage, stride in enumerate(config["strides"], start=1):
        name = f"network.stages.{stage}"
        before, between = (_normalization(tensors, f"{name}.normalization{number}") for number in (1, 2))
        first = _normalized(convolution(f"{name}.convolution1", stride=stride, **inner), between)
        body = [before, activation, first, activation, convolution(f"{name}.convolution2", **inner)]
        projected = f"{name}.shortcut.weight" in tensors
        shortcut = [convolution(f"{name}.shortcut", stride=stride)] if projected else []
        layers += [{"kind": "residual", "body": body, "shortcut": shortcut}]
    head = _normalization(tensors, f"network.stages.{len(config['strides']) + 1}.normalization")
    output = _dense(tensors, "network.output", bits=resnet_bits("network.output"))
    return [*layers, head, activation, _FLATTEN, output]


_LAYERS = {"logistic": _logistic, "mlp": _mlp, "cnn": _cnn, "gru": _gru, "resnet": _resnet}
