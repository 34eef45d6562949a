"""The networks: the paper's layers and counts, torch's own initialisation, and every way to run and to load them."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoModelForSequenceClassification

from mnist1d_hf import GeneratorConfig, Mnist1dConfig, Mnist1dForSequenceClassification, load_dataset
from mnist1d_hf.data.templates import get_templates
from mnist1d_hf.models.modeling_mnist1d import ARCHITECTURES, Network

PAPERS = {"logistic": 410, "mlp": 15_210, "cnn": 5_210, "gru": 5_134}  # parameters, as in the paper
OPTIONS = [
    {"architecture": "mlp", "widths": [30, 20, 20], "activation": "prelu", "dropout": 0.1, "normalization": "layer"},
    {"architecture": "mlp", "widths": [30], "residual": False, "normalization": "batch", "sequence_length": 7},
    {"architecture": "cnn", "widths": [8, 9], "kernel_sizes": [7, 2], "strides": [1, 3], "paddings": [3, 0]},
    {"architecture": "cnn", "widths": [6], "normalization": "batch", "activation": "gelu", "num_labels": 3},
    {"architecture": "gru", "widths": [4, 4], "bidirectional": False, "sequence_length": 11},
    {"architecture": "resnet", "widths": [4, 8], "dilations": [1, 3], "padding_mode": "circular", "pooling": "flatten"},
    {"architecture": "resnet", "widths": [4], "normalization": "none", "pooling": "max", "kernel_sizes": [3, 5]},
    {
        "architecture": "transformer",
        "widths": [8],
        "kernel_sizes": [4],
        "strides": [4],
        "paddings": [0],
        "dropout": 0.1,
    },
]


def model_of(seed=0, **arguments):
    torch.manual_seed(seed)
    return Mnist1dForSequenceClassification(Mnist1dConfig(**arguments)).eval()


@pytest.fixture(scope="module")
def x():
    return torch.randn(6, 40, generator=torch.Generator().manual_seed(1))


class _Plain(nn.Module):
    """The paper's networks in plain torch."""

    def __init__(self, architecture):
        super().__init__()
        if architecture == "logistic":
            self.layers = nn.ModuleList([nn.Linear(40, 10)])
        elif architecture == "mlp":
            self.layers = nn.ModuleList([nn.Linear(40, 100), nn.Linear(100, 100), nn.Linear(100, 10)])
        elif architecture == "cnn":
            convolutions = [nn.Conv1d(1, 25, 5, 2, 1), nn.Conv1d(25, 25, 3, 2, 1), nn.Conv1d(25, 25, 3, 2, 1)]
            self.layers = nn.ModuleList([*convolutions, nn.Linear(125, 10)])
        else:
            self.layers = nn.ModuleList([nn.GRU(1, 6, batch_first=True, bidirectional=True), nn.Linear(480, 10)])
        self.architecture = architecture

    def forward(self, x):
        *hidden, output = self.layers
        if self.architecture == "mlp":
            x = hidden[0](x).relu()
            x = x + hidden[1](x).relu()
        elif self.architecture == "cnn":
            x = x[:, None]
            for layer in hidden:
                x = layer(x).relu()
            x = x.flatten(1)
        elif self.architecture == "gru":
            x = hidden[0](x[:, :, None])[0].flatten(1)
        return output(x)


@pytest.mark.parametrize("architecture", PAPERS)
def test_the_papers_networks_are_plain_torch(architecture, x):
    """Same seed, same initial weights, same logits: bit for bit."""
    model = model_of(3, architecture=architecture)
    torch.manual_seed(3)
    plain = _Plain(architecture)
    assert model.num_parameters() == PAPERS[architecture]
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(model(x).logits, plain(x))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("length", "classes"), [(17, 3), (100, 26)])
def test_any_length_and_number_of_classes(architecture, length, classes):
    model = model_of(architecture=architecture, sequence_length=length, num_labels=classes)
    output = model(torch.zeros(5, length), labels=torch.tensor([0, 1, 2, 0, classes - 1]))
    assert output.logits.shape == (5, classes)
    assert output.loss.shape == ()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_are_kept_through_a_file(options, x, tmp_path):
    model = model_of(**options)
    signals = x[:, : model.config.sequence_length]
    model.save_pretrained(tmp_path)
    again = Mnist1dForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again(signals).logits, model(signals).logits)
    assert not again.training
    for name, value in options.items():
        assert getattr(again.config, name) == value


def test_defaults_are_those_of_the_generator():
    """The price of model files that load without the package: the numbers stand twice, and must agree."""
    config = Mnist1dConfig()
    assert config.sequence_length == GeneratorConfig().final_seq_length
    assert list(config.id2label.values()) == [str(label) for label in get_templates()["y"]]


def test_one_class_adds_an_architecture(x, tmp_path):
    class Sums(Network):
        name = "sums"
        kind = "network of sums"
        default_widths = [4]
        fields = {"widths": "sums", "dropout": "dropout"}

        @classmethod
        def check(cls, config):
            super().check(config)
            if config.sequence_length % config.widths[0]:
                raise ValueError(f"widths: expected a divisor of {config.sequence_length}, found {config.widths[0]}")

        @classmethod
        def build(cls, config):
            return [nn.Unflatten(-1, (config.widths[0], -1))], config.widths[0]

        def features(self, x):
            return x.sum(-1)

    try:
        model = model_of(architecture="sums")
        model.save_pretrained(tmp_path)
        again = Mnist1dForSequenceClassification.from_pretrained(tmp_path)
        assert torch.equal(again(x).logits, again.network.output(x.view(6, 4, 10).sum(-1)))
        assert model.num_parameters() == 50
        assert ARCHITECTURES["sums"].shape(again.config) == {"sums": "4", "dropout": "0"}
        with pytest.raises(StrictDataclassError, match="widths: expected a divisor of 40, found 3"):
            Mnist1dConfig(architecture="sums", widths=[3])
    finally:
        del ARCHITECTURES["sums"]


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "gru"])  # torch's has no vmap
def test_several_at_once(architecture):
    """Under torch.vmap many members are trained as one; each gives what it gives alone."""
    networks = [model_of(seed, architecture=architecture).network for seed in range(2)]
    x = torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(1))
    values, buffers = torch.func.stack_module_state(networks)

    def call(values, buffers, x):
        return torch.func.functional_call(networks[0], (values, buffers), (x,))

    logits = torch.vmap(call)(values, buffers, x)
    for network, signals, found in zip(networks, x, logits, strict=True):
        torch.testing.assert_close(found, network(signals), atol=1e-5, rtol=1e-5)


def test_words_for_the_card():
    """Values are written as a reader expects them: lists with commas, booleans as words, numbers short."""
    config = Mnist1dConfig(architecture="mlp", widths=[30, 20], dropout=0.5)
    assert ARCHITECTURES["mlp"].shape(config) == {
        "units of the hidden layers": "30, 20",
        "layers of equal width add to their input": "yes",
        "activation": "relu",
        "normalisation": "none",
        "dropout": "0.5",
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hidden_states_end_with_the_features(architecture, x):
    model = model_of(architecture=architecture)
    output = model(x, output_hidden_states=True)
    assert torch.equal(model.network.output(output.hidden_states[-1]), output.logits)
    assert model(x).hidden_states is None
    assert model(x, return_dict=False)[0].shape == (6, 10)


def test_the_loss_is_the_mean_cross_entropy(x):
    model, labels = model_of(), torch.arange(6)
    before = model.config.to_json_string(use_diff=False)
    output = model(x, labels=labels)
    assert torch.allclose(output.loss, nn.functional.cross_entropy(output.logits, labels))
    assert model.config.to_json_string(use_diff=False) == before
    summed = model(x, labels=labels, num_items_in_batch=12).loss  # the Trainer's call when it accumulates gradients
    assert torch.allclose(summed, output.loss * 6 / 12)


def test_labels_of_minus_100_are_left_out(x):
    model, labels = model_of(), torch.tensor([3, -100, 1, -100, -100, 9])
    kept = labels != -100
    assert torch.equal(model(x, labels=labels).loss, model(x[kept], labels=labels[kept]).loss)
    labels[1] = -1
    with pytest.raises(ValueError, match="labels: expected 0 to 9 or -100, found -1"):
        model(x, labels=labels)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16, torch.float64])
def test_signals_are_cast_to_the_weights(weights, x):
    model = model_of().to(weights)
    expected = model(x.to(weights)).logits
    for signals in (torch.float32, torch.bfloat16, torch.float64):
        logits = model(x.to(signals)).logits
        assert logits.dtype == weights
        if signals != torch.bfloat16:  # rounded on the way
            assert torch.equal(logits, expected)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "gru"])  # torch's has no vmap
def test_gradients_of_each_sample(architecture, x):
    model, labels = model_of(architecture=architecture), torch.arange(6)
    values, buffers = dict(model.named_parameters()), dict(model.named_buffers())

    def loss(values, signal, label):
        arguments = {"x": signal[None], "labels": label[None]}
        return torch.func.functional_call(model, (values, buffers), kwargs=arguments).loss

    together = torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(values, x, labels)
    for number in range(6):
        model.zero_grad()
        model(x[number, None], labels=labels[number, None]).loss.backward()
        for name, value in model.named_parameters():
            torch.testing.assert_close(together[name][number], value.grad, atol=1e-5, rtol=1e-4)


def some_always(always):
    """All architectures; those that are not in `always` with the option --long only."""
    return [name if name in always else pytest.param(name, marks=pytest.mark.long) for name in ARCHITECTURES]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_and_meta(architecture, x):
    expected = model_of(architecture=architecture)(x).logits
    half = model_of(architecture=architecture).to(torch.bfloat16)
    assert torch.allclose(half(x.bfloat16()).logits.float(), expected, atol=0.05)
    with torch.device("meta"):
        assert Mnist1dForSequenceClassification(half.config)(torch.empty(2, 40)).logits.shape == (2, 10)


@pytest.mark.parametrize("architecture", some_always(["cnn"]))
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")  # torch's own
def test_export(architecture, x):
    model = model_of(architecture=architecture)
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=512)}, "labels": None}
    exported = torch.export.export(model, (x,), {"labels": None}, dynamic_shapes=shapes).module()
    assert torch.allclose(exported(x[:4], labels=None).logits, model(x[:4]).logits, atol=1e-5)


@pytest.mark.parametrize("architecture", some_always(["cnn"]))
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")  # torch's own
def test_onnx(architecture, x, tmp_path):
    """Exported once, any batch: ONNX Runtime gives the same logits."""
    model = model_of(architecture=architecture)
    path = tmp_path / "model.onnx"
    shapes = {"x": {0: torch.export.Dim("batch", min=1, max=4096)}}
    program = torch.onnx.export(
        model,
        (x,),
        kwargs={"return_dict": False},
        input_names=["x"],
        output_names=["logits"],
        dynamo=True,
        dynamic_shapes={**shapes, "return_dict": None},
        verbose=False,
    )
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (x, x[:3], x.repeat(20, 1)):
        (logits,) = session.run(None, {"x": batch.numpy()})
        np.testing.assert_allclose(logits, model(batch).logits.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("architecture", some_always(["cnn", "gru"]))
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")  # torch's own
def test_compile(architecture, backend, x):
    """In one graph (but for nn.GRU, of which torch makes none), forwards and backwards, with the loss."""
    if backend == "inductor" and not shutil.which("g++"):
        pytest.skip("inductor needs a C++ compiler")
    model, labels = model_of(architecture=architecture), torch.arange(6)
    expected = model(x, labels=labels)
    expected.loss.backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()
    output = torch.compile(model, backend=backend, fullgraph=architecture != "gru")(x, labels=labels)
    output.loss.backward()
    torch.testing.assert_close(output.logits, expected.logits, atol=1e-5, rtol=1e-5)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.grad, gradients[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"x": torch.zeros(40)}, ValueError, r"x: expected shape \(batch, 40\), found \(40,\)"),
        ({"x": torch.zeros(2, 39)}, ValueError, r"found \(2, 39\)"),
        (
            {"x": torch.zeros(2, 40, dtype=torch.long)},
            TypeError,
            r"x: expected floating point numbers, found torch.int64",
        ),
        ({"x": torch.full((2, 40), torch.nan)}, ValueError, "x: expected finite numbers, found NaN or infinity"),
        ({"x": torch.full((2, 40), torch.inf)}, ValueError, "x: expected finite numbers"),
        ({"x": torch.full((2, 40), 1e300, dtype=torch.float64)}, ValueError, "x: expected finite numbers"),
        ({"labels": torch.tensor([1])}, ValueError, r"labels: expected shape \(2,\), found \(1,\)"),
        ({"labels": torch.tensor([1.0, 2.0])}, TypeError, r"labels: expected torch.int64, found torch.float32"),
        (
            {"labels": torch.tensor([1, 2], dtype=torch.int32)},
            TypeError,
            r"labels: expected torch.int64, found torch.i",
        ),
        ({"labels": torch.tensor([1, 10])}, ValueError, "labels: expected 0 to 9 or -100, found 10"),
        ({"labels": torch.tensor([-1, 10])}, ValueError, "labels: expected 0 to 9 or -100, found -1"),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        model_of()(**{"x": torch.zeros(2, 40), **arguments})


def test_large_numbers_are_not_taken_for_infinite():
    """Their sum overflows, they do not."""
    model_of(architecture="logistic")(torch.full((2, 40), 3e38))


def test_only_safetensors(tmp_path):
    model = model_of()
    with pytest.raises(ValueError, match="safe_serialization: only safetensors is written"):
        model.save_pretrained(tmp_path / "a", safe_serialization=False)
    model.config.save_pretrained(tmp_path / "b")
    torch.save(model.state_dict(), tmp_path / "b" / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"model.safetensors is missing; pickled weights are not read"):
        Mnist1dForSequenceClassification.from_pretrained(tmp_path / "b")
    with pytest.raises(ValueError, match="use_safetensors: only safetensors is read"):
        Mnist1dForSequenceClassification.from_pretrained(tmp_path / "b", use_safetensors=False)
    model.save_pretrained(tmp_path / "c")
    assert sorted(path.name for path in (tmp_path / "c").glob("*.safetensors")) == ["model.safetensors"]


class Bomb:
    """What unpickles it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def named_in_the_configuration(folder):
    config = json.loads((folder / "config.json").read_text()) | {"transformers_weights": "adapter_model.bin"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, "adapter_model.bin"


def named_in_an_index(folder):
    names = model_of().state_dict()
    (folder / "model.safetensors").unlink()
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "weights-1.bin")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder, "weights-1.bin"


def named_by_the_caller(folder):
    return folder / "weights.bin", "weights.bin"


def instead_of_safetensors(folder):
    (folder / "model.safetensors").unlink()
    return folder, "pytorch_model.bin"


def named_as_safetensors(folder):
    return folder, "model.safetensors"


@pytest.mark.parametrize(
    "route",
    [
        named_in_the_configuration,
        named_in_an_index,
        named_by_the_caller,
        instead_of_safetensors,
        named_as_safetensors,
    ],
)
@pytest.mark.parametrize("auto", [False, True], ids=["class", "auto"])
def test_no_way_round_safetensors(route, auto, tmp_path):
    """transformers knows names for weights that skip its own check; none leads to a pickle."""
    model_of().save_pretrained(tmp_path / "model")
    source, pickled = route(tmp_path / "model")
    torch.save(Bomb(tmp_path / "exploded"), tmp_path / "model" / pickled)
    load = AutoModelForSequenceClassification if auto else Mnist1dForSequenceClassification
    for unsafe in ({}, {"weights_only": False}):
        with pytest.raises((OSError, ValueError)):
            load.from_pretrained(source, **unsafe)
    assert not (tmp_path / "exploded").exists()


def test_shards_variants_and_subfolders_are_read(x, tmp_path):
    model = model_of()
    model.save_pretrained(tmp_path, max_shard_size=5000)
    assert (tmp_path / "model.safetensors.index.json").exists()
    model.save_pretrained(tmp_path / "inner", variant="small")
    for options in ({}, {"subfolder": "inner", "variant": "small"}):
        again = Mnist1dForSequenceClassification.from_pretrained(tmp_path, **options)
        assert torch.equal(again(x).logits, model(x).logits)
        assert again.config.name_or_path == str(tmp_path)


def test_arguments_reach_the_configuration_and_transformers(x, tmp_path):
    model_of().save_pretrained(tmp_path)
    load = Mnist1dForSequenceClassification.from_pretrained
    model, info = load(tmp_path, output_hidden_states=True, dtype="bfloat16", output_loading_info=True)
    assert len(model(x.bfloat16()).hidden_states) == 4
    assert not info["missing_keys"]
    with pytest.raises(ValueError, match="state_dict"):
        load(tmp_path, state_dict=model.state_dict())
    again = load(None, config=model.config, state_dict=model.state_dict())
    assert torch.equal(again(x.bfloat16()).logits, model(x.bfloat16()).logits)


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (lambda data: data[: len(data) // 2], OSError, "model.safetensors is damaged"),
        (lambda _: b"", OSError, "model.safetensors is damaged"),
        (lambda data: b"\xff" * 100 + data[100:], OSError, "model.safetensors is damaged"),
    ],
    ids=["truncated", "empty", "altered"],
)
def test_damaged_weights_are_an_error(damage, kind, message, tmp_path):
    model_of().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(kind, match=message):
        Mnist1dForSequenceClassification.from_pretrained(tmp_path)


@pytest.mark.parametrize("changes", [{"widths": [25, 25, 24]}, {"architecture": "mlp"}, {"widths": [25, 25]}], ids=str)
def test_weights_that_do_not_fit_are_an_error(changes, tmp_path):
    model_of().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text()) | changes
    for name in ("kernel_sizes", "strides", "paddings"):
        config[name] = None
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="weights"):
        Mnist1dForSequenceClassification.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["regression", "multi_label_classification"])
def test_other_losses_are_refused(kind, x):
    model = model_of(architecture="logistic", problem_type=kind)
    assert model(x).loss is None
    with pytest.raises(ValueError, match="problem_type: expected single_label_classification or None, found"):
        model(x, labels=torch.zeros(len(x)))
    assert model_of(architecture="logistic", problem_type="single_label_classification")(x, torch.arange(6)).loss > 0


def test_numpy_arrays_of_the_dataset_fit(cache):
    x, label = np.asarray(load_dataset(split="test", cache_dir=cache).with_format("numpy")[:5]["x"]), range(5)
    assert model_of()(torch.from_numpy(x), labels=torch.tensor(list(label))).loss > 0
