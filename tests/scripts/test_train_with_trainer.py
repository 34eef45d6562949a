"""The example with the `transformers.Trainer`: alone, and as two ranks that share the stream."""

import importlib.util
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from mnist1d_hf import sample

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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(driver)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    index_of = {row.tobytes(): index for index, row in enumerate(sample(range(6144), 5)[0])}
    ranks = [[index_of[row.tobytes()] for row in np.load(f"rows-{rank}.npy")] for rank in range(2)]
    assert [len(rows) for rows in ranks] == [12 * 128] * 2
    if unshared:
        assert ranks[0] == ranks[1] == list(range(12 * 128))
    else:
        assert sorted(ranks[0] + ranks[1]) == list(range(2 * 12 * 128))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "-4"), "seed: expected an integer from 0 to 9223372036854775807, found -4"),
        (("--max-steps", "0"), "max_steps: expected an integer of at least 1, found 0"),
        (("--batch-size", "x"), "argument --batch-size: invalid int value: 'x'"),
        (("--learning-rate", "nan"), "argument --learning-rate: expected a number between 0 and 1000, found nan"),
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
