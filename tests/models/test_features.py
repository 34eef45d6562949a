"""`Mnist1dModel`: the features of a classifier, from its folder or sharing its weights."""

import copy

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

import mnist1d_hf
from mnist1d_hf import Mnist1dConfig, Mnist1dForSequenceClassification, Mnist1dModel
from mnist1d_hf.models.catalog import folder_of
from mnist1d_hf.models.modeling_mnist1d import ARCHITECTURES

SHAPES = {
    "logistic": [(3, 40), (3, 40)],
    "mlp": [(3, 100), (3, 100)],
    "cnn": [(3, 25, 5), (3, 125)],
    "gru": [(3, 40, 12), (3, 480)],
    "resnet": [(3, 64, 5), (3, 64)],
    "transformer": [(3, 40, 32), (3, 32)],
}


@pytest.fixture(scope="module")
def x():
    return torch.randn(3, 40, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_of_a_classifiers_folder(architecture, x, tmp_path, caplog):
    torch.manual_seed(0)
    classifier = Mnist1dForSequenceClassification(Mnist1dConfig(architecture=architecture)).eval()
    classifier.save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    assert type(model) is Mnist1dModel
    assert not model.training
    assert set(model.state_dict()) == {name for name in classifier.state_dict() if "output" not in name.split(".")}
    assert not [record for record in caplog.records if "output" in record.getMessage()]
    output = model(x, output_hidden_states=True)
    assert [tuple(output.last_hidden_state.shape), tuple(output.pooler_output.shape)] == SHAPES[architecture]
    expected = classifier(x, output_hidden_states=True)
    assert torch.equal(classifier.network.output(output.pooler_output), expected.logits)
    assert all(map(torch.equal, output.hidden_states, expected.hidden_states))
    assert model(x).hidden_states is None
    assert torch.equal(model(x, return_dict=False)[1], output.pooler_output)
    if architecture != "logistic":  # its features are the signals: there are no weights
        model.save_pretrained(tmp_path / "features")
        assert torch.equal(AutoModel.from_pretrained(tmp_path / "features")(x).pooler_output, output.pooler_output)


def test_the_classifier_holds_one(x):
    classifier = mnist1d_hf.load_pretrained("cnn")
    names = list(classifier.state_dict())
    model = classifier.base_model
    assert type(model) is Mnist1dModel
    assert torch.equal(model(x).pooler_output, classifier(x, output_hidden_states=True).hidden_states[-1])
    with torch.no_grad():
        classifier.network.stages[0].convolution.bias += 1
    assert torch.equal(model(x).pooler_output, classifier(x, output_hidden_states=True).hidden_states[-1])
    assert list(classifier.state_dict()) == names
    copy.deepcopy(model)


def test_features_become_a_classifier_with_a_new_head(x, tmp_path, caplog):
    model = mnist1d_hf.load_pretrained("cnn").base_model
    AutoModel.from_pretrained(folder_of("cnn")).save_pretrained(tmp_path)
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=4)
    assert "network.output.weight | MISSING" in caplog.text
    torch.manual_seed(0)
    assert torch.equal(classifier.network.output.weight, torch.nn.Linear(125, 4).weight)
    output = classifier(x, output_hidden_states=True)
    assert output.logits.shape == (3, 4)
    assert torch.equal(output.hidden_states[-1], model(x).pooler_output)


def test_bad_signals_are_refused():
    with pytest.raises(ValueError, match=r"x: expected shape \(batch, 40\), found \(2, 39\)"):
        mnist1d_hf.load_pretrained("cnn").base_model(torch.zeros(2, 39))
