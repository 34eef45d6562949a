"""Baselines of kinds that are yet to come: trained for a moment, staged and checked like those that are released."""

import dataclasses
import shutil

import pytest

from mnist1d_hf.models import catalog
from mnist1d_hf.models.configuration_mnist1d import ARCHITECTURES, Mnist1dConfig
from mnist1d_hf.publishing.cards import dataset_card, network_words
from mnist1d_hf.publishing.repositories import OLDEST_TRANSFORMERS, model_repositories
from mnist1d_hf.publishing.staging import check, stage
from mnist1d_hf.training.augmentation import Augmentation
from mnist1d_hf.training.baseline import write_baseline
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.runs import train
from tests.publishing.test_cards import dataset_facts

ENDLESS = Recipe(
    name="endless",
    network={"architecture": "resnet", "widths": (4, 4)},
    data="stream",
    steps=4,
    holdout=0.0,
    select="final",
    fresh=500,
    seeds=2,
)
VARIED = Recipe(
    name="varied",
    network={"architecture": "mlp", "widths": (8,)},
    data="default",
    steps=4,
    eval_every=2,
    select="loss",
    augmentation=Augmentation(shift=2.0, noise=0.1),
    seeds=2,
    reference_accuracy=93,
    source="nowhere",
)


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The catalog with two more baselines."""
    shutil.copytree(catalog.FOLDER, tmp_path / "pretrained")
    for recipe in (ENDLESS, VARIED):
        arrays = load_arrays(recipe.data)
        run = train(recipe, range(recipe.seeds), arrays, tmp_path / "runs" / recipe.name, num_proc=1)
        write_baseline(run, arrays, tmp_path / "pretrained" / recipe.name)
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
    assert "| the same over 2 seeds, fresh samples | 500 |" in endless
    assert "Trained on `stream`, version 1.0.0 of the data." in endless
    assert "of the 1,000 test samples of\n`default`" in varied
    assert "| augmentation | shift 2, noise 0.1 |" in varied
    assert "the step of the lowest loss on its held-out samples" in varied
    assert "To compare with: 93 % (nowhere)." in varied

    facts = dataclasses.replace(dataset_facts(), baselines={name: catalog.results(name) for name in names})
    card = dataset_card(facts)
    for name in names:
        assert f"| [{name}](https://huggingface.co/someone/mnist1d-{name}) |" in card
    assert "`endless`" not in card  # which does not follow the paper's protocol, although it keeps the last step


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_words(architecture):
    kind, _ = network_words(Mnist1dConfig(architecture=architecture).to_dict())
    assert kind


def test_cards_state_the_oldest_transformers(repository):
    assert f'"transformers>={OLDEST_TRANSFORMERS}"' in (repository / "pyproject.toml").read_text()
