import json
import re

import jinja2
import numpy as np
import pytest
from huggingface_hub import DatasetCard, ModelCard, parse_eval_result_entries
from yaml import safe_load

from mnist1d_hf.models.catalog import folder_of, list_pretrained, results
from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
from mnist1d_hf.models.modeling_mnist1d import ARCHITECTURES
from mnist1d_hf.publishing.cards import dataset_card, eval_results, merge_card, model_card, network_words
from mnist1d_hf.publishing.repositories import (
    CONFIGURATIONS,
    OLDEST_TRANSFORMERS,
    data_path,
    model_repositories,
    published_config,
)


def made_dataset_card(**changes):
    splits = {}
    for name in CONFIGURATIONS:
        splits[name] = {}
        for split, rows in published_config(name).split_sizes.items():
            sums = {"x": f"{name}-{split}-x", "label": f"{name}-{split}-label"}
            measured = {"rows": rows, "num_bytes": rows * 168, "size": rows * 200, "counts": (rows // 10,) * 10}
            splits[name][split] = {"path": data_path(name, split), "checksums": sums, **measured}
    values = {
        "splits": splits,
        "variance": [0.25, 0.125, *[0.625 / 38] * 38],
        "repeated": (77, [0, 3]),
        "baselines": {name: results(name) for name in ("logistic", "mlp", "cnn", "cnn-shuffled")},
    }
    return dataset_card("someone/mnist1d", **{**values, **changes})


HUNDRED_EACH = np.full((10, 10), 1) + np.diag([90] * 10)


def made_model_card(name="cnn", recorded=None, test=HUNDRED_EACH, fresh=None):
    (repository,) = model_repositories("someone", [name])
    config = json.loads((folder_of(name) / "config.json").read_text())
    return model_card(repository, config, recorded or results(name), test, fresh)


def test_the_numbers_of_the_datasets_card_are_the_facts():
    card = made_dataset_card()
    mlp = results("mlp")["test_accuracy"]
    assert f"a dense network in {100 * mlp['mean']:.1f} % and a convolutional network in 93.4 %" in card
    assert "| `default` | 4,000 | 1,000 | 1.0 MB | the paper's dataset, bit for bit |" in card
    assert "a class has 400 to 400 training\n  and 100 to 100 test samples" in card
    assert "hold 38 % of the variance" in card
    assert "77 of the\n  1,000 test samples of `default` (class 0, 3)" in card
    assert "| `stream` train | `label` | `stream-train-label` |" in card


def test_other_facts_give_other_numbers():
    recorded = {name: results(name) for name in ("logistic", "mlp", "cnn")}
    recorded["cnn"]["test_accuracy"] |= {"mean": 0.5, "std": 0.125, "low": 0.4375, "high": 0.5625, "n": 7}
    recorded["cnn"]["released"] |= {"test": 0.25, "fresh": 0.125}
    card = made_dataset_card(baselines=recorded)
    assert "`default` | 12.50\u00a0(12.30–12.71) | 7 | 50.00\u00a0±\u00a012.50 | 43.75–56.25 |" in card
    assert "| 43.75–56.25 | 1.58 | 25.0\u00a0(22.4–27.8) |" in card
    assert "a convolutional network in 50.0 % and a dense network in 65.0 %\n(the paper's" in card
    assert "means over 100, 7 and 100 seeds;" in card
    assert "The published `mlp` is right in" in card


def test_the_metadata_are_those_of_the_splits():
    data = DatasetCard(made_dataset_card()).data.to_dict()
    assert data["size_categories"] == ["100K<n<1M"]
    assert data["citation"].startswith("@inproceedings{greydanus2024scaling,\n  title")
    large = next(item for item in data["dataset_info"] if item["config_name"] == "large-40k")
    assert large["splits"] == [
        {"name": "train", "num_bytes": 40_000 * 168, "num_examples": 40_000},
        {"name": "test", "num_bytes": 10_000 * 168, "num_examples": 10_000},
    ]
    assert (large["download_size"], large["dataset_size"]) == (50_000 * 200, 50_000 * 168)
    stream = next(item for item in data["configs"] if item["config_name"] == "stream")
    assert stream["data_files"] == [{"split": "train", "path": "stream/train-00000-of-00001.parquet"}]


def test_a_value_that_nobody_measured_is_an_error():
    recorded = results("cnn")
    del recorded["data"]["version"]
    with pytest.raises(jinja2.UndefinedError, match="version"):
        made_model_card(recorded=recorded)


NAMES = [entry.name for entry in list_pretrained()]


def test_the_datasets_card_has_every_baseline():
    card = made_dataset_card(baselines={name: results(name) for name in NAMES})
    for name in NAMES:
        assert f"| [{name}](https://huggingface.co/someone/mnist1d-{name}) |" in card


def test_only_networks_that_learn_from_the_same_are_ranked():
    """The groups of the table with their networks, the least accurate on fresh samples first."""
    card = made_dataset_card(baselines={name: results(name) for name in NAMES})
    table = card[card.index("| bayes |") : card.index("figures/baselines.png")]
    _, *groups = re.split(r"^\| \*\*(.+)\*\* \|.*$", table, flags=re.MULTILINE)
    rows = [re.findall(r"^\| \[([\w-]+)\]", part, flags=re.MULTILINE) for part in groups[1::2]]
    found = dict(zip(groups[::2], rows, strict=True))
    assert found == {
        "4,000 samples": ["logistic", "mlp", "mlp-review", "gru", "cnn", "cnn-review", "transformer"],
        "4,000 samples and the form of the generator": ["mlp-augmented", "resnet"],
        "more samples": ["mlp-40k", "resnet-stream"],
        "4,000 shuffled samples": ["logistic-shuffled", "gru-shuffled", "cnn-shuffled", "mlp-shuffled"],
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_has_a_card(name):
    card = made_model_card(name)
    found = results(name)
    assert f"{found['parameters']:,} parameters" in card
    summary = found["test_accuracy"]
    assert f"| {100 * summary['mean']:.2f}\u00a0±\u00a0{100 * summary['std']:.2f} |" in card
    assert f"{found['recipe']['steps']:,} of {found['recipe']['batch_size']} samples" in card
    assert "91.0 % of the 1,000 test samples" in card  # of the confusion that is given
    assert ("No choice was made" in card) == (not found["recipe"]["holdout"])
    assert ("therefore too good" in card) == (found["best_reading"] is not None)


def test_the_results_are_read_by_the_hubs_own_library():
    data = ModelCard(made_model_card("cnn-review")).data
    assert (data.model_name, data.datasets) == ("mnist1d-cnn-review", ["someone/mnist1d"])
    first, second = data.eval_results
    assert (first.metric_value, first.metric_name) == (0.91, "Accuracy of this checkpoint")
    assert second.metric_value == pytest.approx(results("cnn-review")["test_accuracy"]["mean"], abs=1e-6)
    assert second.metric_name == "Mean accuracy over 100 seeds"
    (shuffled,) = model_repositories("someone", ["cnn-shuffled"])
    (entry,) = parse_eval_result_entries(safe_load(eval_results(shuffled, results("cnn-shuffled"), HUNDRED_EACH)))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("someone/mnist1d", "shuffled", 0.91)
    assert "1,000 test samples; 95 % interval 89.1–92.6 %" in entry.notes


def test_the_card_says_what_its_numbers_leave_out():
    """Fresh samples first, then the test split; the history of a recipe, and what a network knows."""
    card = " ".join(made_model_card("resnet", fresh=10 * HUNDRED_EACH).split())
    assert "apart: 91.00 % of 10,000 fresh samples" in card
    assert "and 91.0 % of the 1,000 test samples" in card
    assert "a standard error of 0.24 points more" in card
    assert "changed once after a look at the test split" in card
    assert "no log of what was tried: both are still to be done" in card
    assert "| network | as they are | plain augmentation |" in card
    assert "is undecided" in card
    assert "form of the generator" in " ".join(made_model_card("mlp-augmented").split())
    assert "our reading" in " ".join(made_model_card("cnn-review").split())


def test_the_cards_say_what_the_best_could_do():
    recorded = results("cnn")
    recorded["released"]["bayes"] |= {"samples": 1000, "loss": 0.75, "bayes_loss": 0.125, "bayes_accuracy": 0.875}
    recorded["released"]["bayes"] |= {"excess_loss": {"mean": 0.625, "low": 0.5, "high": 0.75}}
    recorded["released"]["bayes"]["calibration_error"] = 0.25
    card = " ".join(made_model_card("cnn", recorded).split())
    assert "anyone could do, fresh samples | 1,000 | 87.50 | 85.31–89.41 |" in card
    assert "is 0.7500 nats; that of the exact probabilities is 0.1250 nats" in card
    assert "The excess is 0.6250 nats (95 % interval 0.5000–0.7500)" in card
    assert "differs from the true probability by 25.0 points" in card
    assert "bayes" not in made_model_card("cnn-shuffled")
    row = "| bayes | – | – | 99.98\u00a0(99.97–99.99) | – | – | – | – | 100.0\u00a0(99.6–100.0) |"
    assert row in made_dataset_card()


def test_per_class_recall_and_precision():
    confusion = np.diag([8] * 10)
    confusion[3, 5] = 2  # twice a 3 was taken for a 5
    card = made_model_card(test=confusion, fresh=10 * confusion)
    assert "| `3` | 10 | 80.0 | 100.0 | 100 | 80.0 | 100.0 |" in card
    assert "| `5` | 8 | 100.0 | 80.0 | 80 | 100.0 | 80.0 |" in card
    empty = np.zeros((10, 10), dtype=int)
    empty[0, 1] = 4
    assert "| `0` | 4 | 0.0 | – |" in made_model_card(test=empty)


def test_what_later_recipes_may_record_is_said():
    recorded = results("cnn-review")
    recorded["data"] |= {"configuration": "large-40k", "sha256": {}}
    recorded["recipe"] |= {"data": "large-40k", "select": "loss", "fresh": 50_000, "warmup_steps": 9}
    recorded["recipe"] |= {"augmentation": {"shift": 20.0, "scale": 0.25, "stretch": 0.0}, "reference_accuracy": None}
    recorded["diverged"] = [4, 9]
    recorded["members"] = [{**member, "fresh": 0.75 + 0.125 * (n % 2)} for n, member in enumerate(recorded["members"])]
    card = made_model_card("cnn-review", recorded)
    assert "91.0 % of the 1,000 test samples of\n`large-40k`" in card
    assert "Trained on `large-40k`, version 1.0.0 of the data." in card
    assert "the step of the lowest loss on its held-out samples" in card
    assert "| augmentation | shift 20, scale 0.25 |" in card
    assert "| warmup steps | 9 |" in card
    assert "Training failed for 2 seeds (4, 9)" in card
    assert "| the same over 100 seeds, fresh samples | 50,000 | 81.25\u00a0±\u00a06.28 | – |" in card
    assert "To compare with" not in card
    recorded["recipe"] |= {"data": "stream", "reference_accuracy": 93, "source": "nowhere"}
    recorded["data"]["configuration"] = "stream"
    card = made_model_card("cnn-review", recorded)
    assert "| order of the samples | new samples in every step |" in card
    assert "test samples of\n`default`" in card
    assert "To compare with: 93 % (nowhere)." in card


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_words(architecture):
    kind, _ = network_words(Mnist1dConfig(architecture=architecture).to_dict())
    assert kind


def test_cards_state_the_oldest_transformers(repository):
    assert f'"transformers>={OLDEST_TRANSFORMERS}"' in (repository / "pyproject.toml").read_text()


OURS = "---\nlicense: apache-2.0\ntags:\n- a\nconfigs:\n- config_name: new\n---\n\n# New\n"


def test_keys_that_a_maintainer_added_survive_and_ours_win():
    theirs = (
        "\ufeff---\nviewer: false\nlicense: mit\nconfigs: []\ndataset_info: {}\nextra_gated_prompt: |\n"
        "  One.\n  Two.\ntags: [b]\nfunding: {by: x, since: 2024-01-02}\n---\n\n# Old\n"
    )
    merged = merge_card(OURS, theirs)
    ours, added = safe_load(OURS.split("---")[1]), safe_load(theirs.split("---")[1])
    kept = {key: added[key] for key in ("viewer", "extra_gated_prompt", "funding")}
    assert safe_load(merged.split("---")[1]) == {**ours, **kept}
    assert merged.endswith("\n---\n\n# New\n")
    assert merge_card(OURS, merged) == merged


def test_without_other_keys_a_card_is_left_byte_for_byte():
    for theirs in (None, "# No metadata\n", OURS.replace("new", "old").replace("\n", "\r\n"), "---\n---\n# Empty\n"):
        assert merge_card(OURS, theirs) == OURS
