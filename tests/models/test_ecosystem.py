"""What users of transformers, peft and the Hub do with the networks."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from huggingface_hub import constants, hf_api
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments, pipeline

import mnist1d_hf
from mnist1d_hf import Mnist1dConfig, Mnist1dForSequenceClassification, load_dataset, load_pretrained
from mnist1d_hf.models.catalog import folder_of
from mnist1d_hf.models.modeling_mnist1d import ARCHITECTURES
from tests.hub.server import HubServer


@pytest.fixture(scope="module")
def x():
    return torch.randn(6, 40, generator=torch.Generator().manual_seed(1))


def run(code, folder):
    """Run code in a process of its own."""
    environment = {**os.environ, "HF_MODULES_CACHE": str(folder / "modules"), "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("load", [Mnist1dForSequenceClassification, AutoModelForSequenceClassification])
def test_a_head_for_other_classes(load, x, caplog):
    """The rest keeps its weights, the head gets torch's own initial ones."""
    torch.manual_seed(0)
    model = load.from_pretrained(folder_of("cnn"), num_labels=5, ignore_mismatched_sizes=True)
    assert "network.output.weight | MISMATCH" in caplog.text
    torch.manual_seed(0)
    head = torch.nn.Linear(125, 5)
    assert torch.equal(model.network.output.weight, head.weight)
    assert torch.equal(model.network.output.bias, head.bias)
    output, before = (some(x, output_hidden_states=True) for some in (model, load_pretrained("cnn")))
    assert output.logits.shape == (6, 5)
    assert torch.equal(output.hidden_states[-1], before.hidden_states[-1])
    with pytest.raises(
        ValueError, match=r"network.output.bias has shape \(10,\), expected \(5,\).*ignore_mismatched_s"
    ):
        load.from_pretrained(folder_of("cnn"), num_labels=5)


def test_a_configuration_with_other_classes(x):
    config = Mnist1dConfig.from_pretrained(folder_of("mlp"))
    config.num_labels = 5
    model = load_pretrained("mlp", config=config, ignore_mismatched_sizes=True)
    assert model(x).logits.shape == (6, 5)
    assert load_pretrained("mlp", num_labels=3, ignore_mismatched_sizes=True).config.id2label[2] == "LABEL_2"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers_of_another_shape_start_anew(architecture, tmp_path):
    """Whatever layer does not fit, all its weights are what torch starts with."""
    torch.manual_seed(0)
    Mnist1dForSequenceClassification(Mnist1dConfig(architecture=architecture)).save_pretrained(tmp_path)
    changes = {"widths": [16] * 3} if architecture == "cnn" else {"widths": [8, 8]}
    changes = {"sequence_length": 30} if architecture in ("logistic", "gru", "transformer") else changes
    changes = {"widths": [8] * 4} if architecture == "resnet" else changes
    load = Mnist1dForSequenceClassification.from_pretrained
    with pytest.raises(ValueError, match="ignore_mismatched_sizes=True starts it anew"):
        load(tmp_path, **changes)
    torch.manual_seed(1)
    model, info = load(tmp_path, **changes, ignore_mismatched_sizes=True, output_loading_info=True)
    fresh = Mnist1dForSequenceClassification(model.config)
    assert info["mismatched_keys"]
    for key, *_ in info["mismatched_keys"]:
        found, expected = model.get_parameter_or_buffer(key), fresh.get_parameter_or_buffer(key)
        if len(set(expected.flatten().tolist())) > 1:
            assert found.isfinite().all()
            assert 0.3 < found.std() / expected.std() < 3, key
        else:
            assert torch.equal(found, expected), key


def test_without_this_package(x, tmp_path):
    """The saved folder, with its code, in a process that cannot import mnist1d_hf: the same numbers, bit for bit."""
    torch.manual_seed(0)
    model = Mnist1dForSequenceClassification(Mnist1dConfig(architecture="resnet", widths=[4, 8])).eval()
    model.save_pretrained(tmp_path / "model")
    torch.save(x, tmp_path / "x.pt")
    run(
        """
        import sys
        sys.modules["mnist1d_hf"] = None
        import torch
        from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, pipeline
        trust = {"trust_remote_code": True}
        x = torch.load("x.pt")
        config = AutoConfig.from_pretrained("model", **trust)
        assert config.widths == [4, 8], config
        model = AutoModelForSequenceClassification.from_pretrained("model", **trust)
        features = AutoModel.from_pretrained("model", **trust)(x).pooler_output
        answers = pipeline("signal-classification", model="model", **trust)(x, batch_size=4)
        torch.save([model(x).logits.detach(), features.detach(), answers], "results.pt")

        # Another number of classes.
        assert AutoConfig.from_pretrained("model", num_labels=3, **trust).id2label[2] == "LABEL_2"
        options = {"num_labels": 5, "ignore_mismatched_sizes": True, **trust}
        other = AutoModelForSequenceClassification.from_pretrained("model", **options)
        assert other(x).logits.shape == (6, 5)
        try:
            AutoModelForSequenceClassification.from_pretrained("model", num_labels=5, **trust)
        except ValueError as error:
            assert "ignore_mismatched_sizes=True" in str(error), error
        else:
            raise AssertionError("no error")

        # Saved once more from here, the code goes along.
        model.save_pretrained("again")
        """,
        tmp_path,
    )
    logits, features, answers = torch.load(tmp_path / "results.pt")
    assert torch.equal(logits, model(x).logits)
    assert torch.equal(features, model.base_model(x).pooler_output)
    assert [answer[0]["label"] for answer in answers] == [str(int(label)) for label in logits.argmax(1)]
    for file in (tmp_path / "model").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name
    here = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again")
    assert type(here) is Mnist1dForSequenceClassification
    assert torch.equal(here(x).logits, logits)


def test_a_saved_folder_needs_no_trust_where_the_package_is(x, tmp_path):
    model = load_pretrained("cnn")
    before = model.config.to_dict()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["custom_pipelines"]
    assert "custom_pipelines" not in {**before, **model.config.to_dict()}
    for source in (str(tmp_path), model):
        assert pipeline("signal-classification", model=source)(x)[0][0]["label"] in model.config.label2id


def test_importing_the_package_is_enough(tmp_path):
    """transformers knows the networks, whichever is imported first; the import itself loads neither it nor torch."""
    run(
        f"""
        import os, sys
        folder = {str(folder_of("cnn"))!r}
        child = os.fork()
        if child == 0:
            from transformers import AutoConfig, AutoModelForSequenceClassification
            import mnist1d_hf
            assert "mnist1d_hf.models" not in sys.modules
            assert AutoModelForSequenceClassification.from_pretrained(folder).num_parameters() == 5210
            os._exit(0)
        import mnist1d_hf
        assert not {{"torch", "transformers"}} & set(sys.modules)
        from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, pipeline
        assert "mnist1d_hf.models" not in sys.modules
        assert AutoConfig.for_model("resnet").model_type == "resnet"
        assert "mnist1d_hf.models" not in sys.modules
        assert pipeline("signal-classification", model=folder)([0.0] * 40)
        assert type(AutoModel.from_pretrained(folder)) is mnist1d_hf.Mnist1dModel
        assert os.waitpid(child, 0)[1] == 0
        """,
        tmp_path,
    )


def test_the_trainer_takes_the_dataset_as_it_is(tmp_path):
    dataset = load_dataset(num_samples=500, cache_dir=str(tmp_path / "cache"))
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=150,
        per_device_train_batch_size=50,
        learning_rate=1e-2,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=150,
        dataloader_pin_memory=False,
    )
    model = Mnist1dForSequenceClassification(Mnist1dConfig()).train()
    trainer = Trainer(model, arguments, train_dataset=dataset["train"], eval_dataset=dataset["test"])
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before - 0.1
    trainer.create_model_card()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- mnist1d\n" in card
    assert "builder" not in card
    assert (mnist1d_hf.stream().builder_name, mnist1d_hf.stream().config_name) == ("mnist1d", "stream")


@pytest.mark.parametrize(
    ("name", "modules"), [("mlp", ["linear"]), ("mlp", "all-linear"), ("cnn", ["convolution"]), ("cnn", "all-linear")]
)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's own
def test_lora(name, modules, x, tmp_path):
    """An adapter is trained, saved, and loaded again by peft and by transformers."""
    torch.manual_seed(0)
    options = {"r": 2, "target_modules": modules, "task_type": "SEQ_CLS", "init_lora_weights": False}
    model = get_peft_model(load_pretrained(name), LoraConfig(**options))
    model(x=x, labels=torch.arange(6)).loss.backward()
    trained = {key for key, value in model.named_parameters() if value.grad is not None}
    assert trained
    assert all("lora" in key for key in trained)
    expected = model.eval()(x=x).logits
    model.save_pretrained(tmp_path)
    assert torch.equal(PeftModel.from_pretrained(load_pretrained(name), tmp_path).eval()(x=x).logits, expected)
    assert torch.equal(AutoModelForSequenceClassification.from_pretrained(tmp_path)(x).logits, expected)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(OSError, match=r"adapter_model\.safetensors is missing; pickled weights are not read"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_the_first_layer_can_ask_for_gradients(x):
    """What peft and gradient checkpointing do with `get_input_embeddings`."""
    for architecture in ARCHITECTURES:
        model = Mnist1dForSequenceClassification(Mnist1dConfig(architecture=architecture)).requires_grad_(False)
        assert not model(x).logits.requires_grad
        model.enable_input_require_grads()
        assert model(x).logits.requires_grad, architecture


def test_push_to_hub(x, monkeypatch, tmp_path):
    model = load_pretrained("cnn")
    with HubServer() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(hf_api.api, "endpoint", hub.url)  # read once, in older releases
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        model.push_to_hub("user/cnn", token="hf_write")
        again = AutoModelForSequenceClassification.from_pretrained("user/cnn", token="hf_write", cache_dir=tmp_path)
    assert torch.equal(again(x).logits, model(x).logits)
