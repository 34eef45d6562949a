"""The example with the `transformers.Trainer`, as a user runs it: alone, and as two ranks that share the stream."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from mnist1d_hf import sample

# The script with a model that writes down every row it is trained on.
DRIVER = """
    import importlib.util, os, sys
    import numpy as np
    spec = importlib.util.spec_from_file_location("script", {script!r})
    script = importlib.util.module_from_spec(spec)
    sys.modules["script"] = script
    spec.loader.exec_module(script)
    rows, forward = [], script.PaperCNN.forward

    def recording(self, x, labels=None):
        if self.training:
            rows.append(x.detach().numpy().copy())
        return forward(self, x, labels)

    script.PaperCNN.forward = recording
    if {unshared}:
        script.split_dataset_by_node = lambda dataset, rank, world_size: dataset
    sys.argv = ["script", "--max-steps", "12", "--batch-size", "128", "--seed", "5", "--output-dir", "out"]
    script.main()
    np.save("rows-" + os.environ.get("RANK", "0") + ".npy", np.concatenate(rows))
"""


def call(*command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


def test_it_learns_and_says_how_well(repository):
    """200 steps reach about 75 %; chance is 10 %."""
    done = call(repository / "scripts" / "train_with_trainer.py", "--max-steps", "200", "--output-dir", "out")
    assert done.returncode == 0, done.stderr
    accuracy, samples = re.search(r"test accuracy ([\d.]+) % after ([\d,]+) samples", done.stdout).groups()
    assert float(accuracy) > 60
    assert samples == "51,200"


@pytest.mark.parametrize("unshared", [False, True], ids=["shared", "unshared"])
def test_two_ranks_see_each_row_once(repository, tmp_path, unshared):
    """Counted: 12 steps of 128 rows on each of two ranks are the samples 0 .. 3071 of the stream, each once, half on
    each rank. Without the sharing the same count finds every row twice, so it is able to fail."""
    driver = tmp_path / "driver.py"
    script = str(repository / "scripts" / "train_with_trainer.py")
    driver.write_text(textwrap.dedent(DRIVER).format(script=script, unshared=unshared))
    done = call("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(driver))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    index_of = {row.tobytes(): index for index, row in enumerate(sample(range(6144), 5)[0])}
    ranks = [[index_of[row.tobytes()] for row in np.load(f"rows-{rank}.npy")] for rank in range(2)]
    assert [len(rows) for rows in ranks] == [12 * 128] * 2
    seen = sorted(ranks[0] + ranks[1])
    if unshared:
        assert ranks[0] == ranks[1] == list(range(12 * 128))
    else:
        assert seen == list(range(2 * 12 * 128))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "-4"), "seed: expected an integer from 0 to 9223372036854775807, found -4"),
        (("--max-steps", "0"), "argument --max-steps: expected an integer of at least 1, found 0"),
        (("--batch-size", "x"), "argument --batch-size: expected an integer of at least 1, found x"),
        (("--learning-rate", "nan"), "argument --learning-rate: expected a number of at least 1e-12, found nan"),
        (("--num-workers=-2",), "argument --num-workers: expected an integer of at least 0, found -2"),
    ],
    ids=str,
)
def test_bad_options_end_in_one_message(repository, options, message):
    done = call(repository / "scripts" / "train_with_trainer.py", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
