import dataclasses
import os

import pytest

from mnist1d_hf.publishing import items
from mnist1d_hf.publishing.checking import CheckError
from mnist1d_hf.publishing.snippets import Trial, failing_snippets
from tests.publishing.folders import DATASET


def card(*blocks):
    return "".join(f"```{language}\n{code}\n```\n" for language, code in blocks)


def failing(text, places):
    (found,) = failing_snippets([Trial(text, places)])
    return found


def test_those_of_the_staged_cards_run_and_a_wrong_one_is_named(staged, staged_model, model):
    """All in two processes: both cards, and a copy of one that states another accuracy."""
    model.replace("accuracy - 0.9500", "accuracy - 0.9600")
    dataset, cnn = items.dataset_item(DATASET), items.model_items("NAMESPACE", ["cnn"])[0]
    broken = dataclasses.replace(cnn, repo_id="NAMESPACE/broken")
    folders = {DATASET: staged, cnn.repo_id: staged_model, broken.repo_id: model.folder}
    with pytest.raises(CheckError) as raised:
        items.check_snippets([dataset, cnn, broken], folders)
    assert str(raised.value).startswith(f"{model.folder}: README.md: snippet at line ")
    assert raised.value.problems[0].endswith(", its line 12: AssertionError: ")
    assert len(raised.value.problems) == 1


def test_the_name_on_the_hub_is_the_folder(tmp_path):
    folder = tmp_path / "a 'folder'"
    folder.mkdir()
    (folder / "x").write_text("7")
    code = 'assert open("me/it" + "/x").read() == "7"\nassert open("hf://datasets/me/it/x").read() == "7"'
    assert failing(card(("python", code)), {"me/it": folder}) == []
    assert len(failing(card(("python", code)), {"me/other": folder})) == 1


def test_each_stands_by_itself_and_all_are_run():
    found = failing(card(("python", "x = 1"), ("python", "print(x)"), ("python", "1 / 0")), {})
    assert found == [
        "snippet at line 4, its line 1: NameError: name 'x' is not defined",
        "snippet at line 7, its line 1: ZeroDivisionError: division by zero",
    ]


def test_the_package_is_there_for_those_that_ask_for_it_only():
    assert failing(card(("python", "import mnist1d_hf\nmnist1d_hf.sample([0])")), {}) == []
    (found,) = failing(card(("python", '__import__("mnist1d_hf")')), {})
    assert "ModuleNotFoundError" in found


def test_no_network_no_token_no_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "secret")
    code = "import os\nassert 'HF_TOKEN' not in os.environ\nassert os.listdir() == []\nopen('left', 'w').close()"
    assert failing(card(("python", code)), {}) == []
    assert os.listdir(tmp_path) == []
    (found,) = failing(card(("python", 'import socket\nsocket.create_connection(("127.0.0.1", 9))')), {})
    assert "a snippet tried to reach ('127.0.0.1', 9)" in found


def test_languages_that_nobody_runs():
    assert failing(card(("bibtex", "@x{y}"), ("text", "...")), {}) == []
    (found,) = failing(card(("bash", "pip install x")), {})
    assert found == "snippet at line 1: expected python, bibtex or text, found bash"


def test_code_that_does_not_compile_or_ends_the_process():
    (found,) = failing(card(("python", "x =")), {})
    assert "SyntaxError" in found
    (found,) = failing(card(("python", "raise SystemExit(3)")), {})
    assert "SystemExit: 3" in found
    good, bad = card(("python", "x = 1")), card(("python", "x = 1"), ("python", "import os; os._exit(3)"))
    found = failing_snippets([Trial(good, {}), Trial(bad, {}), Trial(good, {})])
    assert found == [[], ["snippet at line 4: the process ended with 3: "], []]
