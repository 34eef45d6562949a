"""Baselines of kinds that are yet to come are staged and checked like those that are released."""

import json
import shutil

import pytest

from mnist1d_hf.models import Mnist1dForSequenceClassification, catalog
from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
from mnist1d_hf.models.modeling_mnist1d import ARCHITECTURES
from mnist1d_hf.publishing.cards import network_words
from mnist1d_hf.publishing.repositories import OLDEST_TRANSFORMERS, evaluated_on, model_repositories
from mnist1d_hf.publishing.staging import check, stage
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.evaluation import evaluate
from tests.publishing.test_cards import made_dataset_card

RECIPES = {  # name -> what of a recipe differs from that of `mlp-augmented`
    "endless": {
        "network": {"architecture": "resnet", "widths": [4, 4]},
        "data": "stream",
        "holdout": 0.0,
        "select": "final",
        "fresh": 500,
    },
    "varied": {
        "network": {"architecture": "mlp", "widths": [8]},
        "data": "large-40k",
        "select": "loss",
        "augmentation": {"shift": 2.0, "noise": 0.1},
        "reference_accuracy": 93,
        "source": "nowhere",
    },
}


def write(folder, name):
    """A baseline as training writes it, but with the weights that a network begins with."""
    recorded = catalog.results("mlp-augmented")
    recorded["recipe"] |= {"name": name, **RECIPES[name]}
    recorded["members"] = [{**member, "fresh": recorded["recipe"]["fresh"] and 0.5} for member in recorded["members"]]
    configuration = recorded["recipe"]["data"]
    recorded["data"] |= {"configuration": configuration, "sha256": {}}
    model = Mnist1dForSequenceClassification(Mnist1dConfig(**recorded["recipe"]["network"]))
    model.eval().save_pretrained(folder)
    arrays = load_arrays(evaluated_on(configuration))
    recorded["parameters"] = model.num_parameters()
    recorded["released"]["test"] = evaluate(model, arrays.x_test, arrays.label_test).accuracy
    (folder / "results.json").write_text(json.dumps(recorded))


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The catalog with two more baselines."""
    shutil.copytree(catalog.FOLDER, tmp_path / "pretrained")
    for name in RECIPES:
        write(tmp_path / "pretrained" / name, name)
    monkeypatch.setattr(catalog, "FOLDER", tmp_path / "pretrained")
    catalog._names.cache_clear()
    yield [entry.name for entry in catalog.list_pretrained()]
    catalog._names.cache_clear()


def test_they_are_staged_and_checked_and_the_datasets_card_has_them(names, tmp_path):
    cards = {}
    for repository in model_repositories("someone", ["endless", "varied"]):
        folder = stage(repository, tmp_path / repository.name, fresh=2000)
        check(repository, folder)
        cards[repository.baseline] = (folder / "README.md").read_text()
    endless, varied = cards["endless"], cards["varied"]
    assert "A residual convolutional network with" in endless
    assert "of the 1,000 test samples of\n`default`" in endless
    assert "| order of the samples | new samples in every step |" in endless
    assert "seeds, fresh samples | 500 | 50.00" in endless
    assert "Trained on `stream`, version 1.0.0 of the data." in endless
    assert "of the 10,000 test samples of\n`large-40k`" in varied
    assert "| augmentation | shift 2, noise 0.1 |" in varied
    assert "the step of the lowest loss on its held-out samples" in varied
    assert "To compare with: 93 % (nowhere)." in varied

    card = made_dataset_card(baselines={name: catalog.results(name) for name in names})
    for name in names:
        assert f"| [{name}](https://huggingface.co/someone/mnist1d-{name}) |" in card
    assert "`endless`" not in card  # which does not follow the paper's protocol, although it keeps the last step


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_words(architecture):
    kind, _ = network_words(Mnist1dConfig(architecture=architecture).to_dict())
    assert kind


def test_cards_state_the_oldest_transformers(repository):
    assert f'"transformers>={OLDEST_TRANSFORMERS}"' in (repository / "pyproject.toml").read_text()
