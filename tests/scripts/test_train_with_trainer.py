"""The example with the `transformers.Trainer`: alone, and as two ranks that share the stream."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from datasets.distributed import split_dataset_by_node

from mnist1d_hf import sample, stream

torch = pytest.importorskip("torch", reason="needs the extra torch")
from transformers import Trainer, TrainingArguments  # noqa: E402

# The script, with a model that writes down every row it is trained on. Without the sharing as well, if told so.
DRIVER = """
    import functools, importlib.util, os, sys
    import numpy as np
    spec = importlib.util.spec_from_file_location("script", {script!r})
    script = importlib.util.module_from_spec(spec)
    sys.modules["script"] = script
    spec.loader.exec_module(script)
    rows, forward = [], script.Mnist1dForSequenceClassification.forward

    @functools.wraps(forward)  # the Trainer looks at its arguments
    def recording(self, x, *arguments, **options):
        if self.training:
            rows.append(x.detach().numpy().copy())
        return forward(self, x, *arguments, **options)

    script.Mnist1dForSequenceClassification.forward = recording
    if {unshared}:
        script.split_dataset_by_node = lambda dataset, rank, world_size: dataset
    sys.argv = ["script", "--max-steps", "12", "--batch-size", "128", "--seed", "5", "--output-dir", "out"]
    script.main()
    np.save("rows-" + os.environ["RANK"] + ".npy", np.concatenate(rows))
"""


# The script, killed in the ninth step.
KILLED = """
    import importlib.util, os, signal, sys
    spec = importlib.util.spec_from_file_location("script", {script!r})
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    steps, training_step = [], script.StreamTrainer.training_step

    def counted(self, *arguments, **options):
        steps.append(1)
        if len(steps) == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return training_step(self, *arguments, **options)

    script.StreamTrainer.training_step = counted
    sys.argv = ["script", *{options!r}]
    script.main()
"""
# The Trainer and accelerate with their default arguments; both are imported before the package.
DEFAULTS = """
    import itertools, json, os, time
    import numpy as np
    import torch
    from accelerate import Accelerator
    from datasets.distributed import split_dataset_by_node
    from torch.utils.data import DataLoader
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from mnist1d_hf import Mnist1dConfig, Mnist1dForSequenceClassification, sample, stream
    from mnist1d_hf.data.stream import StreamPlan

    index_of = {row.tobytes(): index for index, row in enumerate(sample(range(4096), 5)[0])}
    made, rows, block = [], [], StreamPlan.block

    def counted(self, seed, number, **more):
        made.append(number)
        return block(self, seed, number, **more)

    StreamPlan.block = counted

    class Recording(Mnist1dForSequenceClassification):
        def forward(self, x=None, labels=None, **options):
            rows.extend(index_of[row.numpy().tobytes()] for row in x)
            return super().forward(x=x, labels=labels, **options)

    args = TrainingArguments(output_dir="out", max_steps=80, use_cpu=True)
    Trainer(Recording(Mnist1dConfig(architecture="mlp")), args, train_dataset=stream(5)).train()
    found = {"trainer": (list(rows), list(made))}
    accelerator = Accelerator(cpu=True)
    rank, world = accelerator.process_index, accelerator.num_processes
    datasets = {
        "accelerate": stream(5, num_samples=2048),
        "unequal": stream(5, num_samples=3000),
        "split": split_dataset_by_node(stream(5, num_samples=2048), rank, world),
    }
    for name, dataset in datasets.items():
        del made[:]
        loader = accelerator.prepare(DataLoader(dataset.with_format("torch"), batch_size=100))
        read = [index_of[row.numpy().tobytes()] for batch in loader for row in batch["x"]]
        found[name] = read, list(made)
    with open(f"rank-{rank}.json", "w") as file:
        json.dump(found, file)
    time.sleep(1)  # see scripts/train_with_trainer.py
    accelerator.end_training()
"""


def run_ranks(driver: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(driver)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def script(repository):
    spec = importlib.util.spec_from_file_location("script", repository / "scripts" / "train_with_trainer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_learns_and_says_how_well(script, monkeypatch, capsys):
    """100 steps reach about 53 %; chance is 10 %."""
    monkeypatch.setattr(sys, "argv", ["script", "--max-steps", "100", "--output-dir", "out"])
    script.main()
    accuracy, samples = re.search(r"test accuracy ([\d.]+) % after ([\d,]+) samples", capsys.readouterr().out).groups()
    assert float(accuracy) > 35
    assert samples == "25,600"


@pytest.mark.parametrize("unshared", [False, pytest.param(True, marks=pytest.mark.long)], ids=["shared", "unshared"])
def test_two_ranks_see_each_row_once(repository, tmp_path, unshared):
    """Counted: 12 steps of 128 rows on each of two ranks are the samples 0 .. 3071 of the stream, each once, half on
    each rank. Without the sharing the same count finds every row twice: the test is able to fail."""
    driver = tmp_path / "driver.py"
    path = str(repository / "scripts" / "train_with_trainer.py")
    driver.write_text(textwrap.dedent(DRIVER).format(script=path, unshared=unshared))
    done = run_ranks(driver)
    assert done.stdout.count("test accuracy") == 1
    index_of = {row.tobytes(): index for index, row in enumerate(sample(range(6144), 5)[0])}
    ranks = [[index_of[row.tobytes()] for row in np.load(f"rows-{rank}.npy")] for rank in range(2)]
    assert [len(rows) for rows in ranks] == [12 * 128] * 2
    if unshared:
        assert ranks[0] == ranks[1] == list(range(12 * 128))
    else:
        assert sorted(ranks[0] + ranks[1]) == list(range(2 * 12 * 128))


def test_both_ranks_make_their_own_rows_by_default(tmp_path):
    """Every sample comes once, and no block is made on both ranks: by a plain `Trainer`, in a plain loop of accelerate,
    and where the user has split the stream already. Where one rank would get more samples than the other, rank 0 reads
    for both, and accelerate fills the last batch up."""
    driver = tmp_path / "driver.py"
    driver.write_text(textwrap.dedent(DEFAULTS))
    run_ranks(driver)
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    for rank, found in enumerate(ranks):
        own = [index for index in range(2048) if index // 512 % 2 == rank]
        assert found["trainer"] == [own[:640], [rank, rank + 2]]  # 80 batches of 8
        assert found["accelerate"] == found["split"] == [own, [rank, rank + 2]]
    assert set(ranks[0]["unequal"][0] + ranks[1]["unequal"][0]) == set(range(3000))
    assert ranks[1]["unequal"][1] == []


OPTIONS = ("--max-steps", "12", "--batch-size", "100", "--save-steps", "4", "--seed", "5", "--output-dir")


@pytest.fixture
def train(script, monkeypatch):
    def call(*options):
        monkeypatch.setattr(sys, "argv", ["script", *options])
        script.main()

    return call


def test_a_killed_run_ends_with_the_same_weights(repository, train, made, tmp_path):
    """Killed in step 9, with a checkpoint after 8 steps and the remains of a later one. A run that is 1,000,000 steps
    old goes on without making what it has read."""
    driver = tmp_path / "driver.py"
    path = str(repository / "scripts" / "train_with_trainer.py")
    driver.write_text(textwrap.dedent(KILLED).format(script=path, options=[*OPTIONS, "killed"]))
    killed = subprocess.run([sys.executable, str(driver)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    Path("killed/checkpoint-9").mkdir()
    shutil.copytree("killed/checkpoint-8", "late/checkpoint-1000000")
    train(*OPTIONS, "killed", "--resume")
    assert made == [800 // 512, 800 // 512 + 1]  # samples 800 to 1199
    train(*OPTIONS, "whole")
    weights = [Path(folder, "checkpoint-12", "model.safetensors").read_bytes() for folder in ("killed", "whole")]
    assert weights[0] == weights[1]

    state = Path("late/checkpoint-1000000/trainer_state.json")
    state.write_text(json.dumps({**json.loads(state.read_text()), "global_step": 1_000_000}))
    del made[:]
    train("--max-steps", "1000002", "--batch-size", "256", "--seed", "5", "--output-dir", "late", "--resume")
    assert made == [500_000]


def test_a_plain_trainer_resumes_as_the_readme_says(script, made):
    """A split stream that skips, with `ignore_data_skip`: the weights of a run without a stop."""

    def train(folder, rows, checkpoint=None):
        torch.manual_seed(0)
        model = script.Mnist1dForSequenceClassification(script.Mnist1dConfig())
        options = {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 100, "ignore_data_skip": True}
        args = TrainingArguments(folder, max_steps=6, save_steps=3, use_cpu=True, report_to="none", **options)
        Trainer(model, args, train_dataset=rows).train(checkpoint)
        return Path(folder, "checkpoint-6", "model.safetensors").read_bytes()

    whole = train("whole", stream(5))
    shutil.copytree("whole/checkpoint-3", "resumed/checkpoint-3")
    del made[:]
    rows = split_dataset_by_node(stream(5), 0, 1).skip(3 * 2 * 100)
    assert train("resumed", rows, "resumed/checkpoint-3") == whole
    assert made == [1, 2]  # samples 600 to 1199


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "-4"), "seed: expected an integer from 0 to 9223372036854775807, found -4"),
        (("--max-steps", "0"), "max_steps: expected an integer of at least 1, found 0"),
        (("--batch-size", "x"), "argument --batch-size: invalid int value: 'x'"),
        (("--learning-rate", "nan"), "argument --learning-rate: expected a number between 0 and 1000, found nan"),
        (("--save-steps", "3", "--num-workers", "2"), "argument --save-steps: expected a multiple of 2"),
        (("--resume", "--output-dir", "empty"), "--resume: expected a checkpoint in empty, found none"),
        (("--num-workers=-2",), "num_workers: expected an integer of at least 0, found -2"),
    ],
    ids=str,
)
def test_bad_options_end_in_one_message(script, options, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script", *options])
    with pytest.raises(SystemExit) as ended:
        script.run_main("train_with_trainer.py", script.main)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
