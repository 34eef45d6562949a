"""A build on a real Ray cluster of two nodes on this machine, one of which is lost on the way."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.export import engines
from mnist1d_hf.export.folder import SUMS, verify_folder
from mnist1d_hf.export.plan import ShardPlan
from mnist1d_hf.export.shards import build_shards
from tests.export.test_shards import contents, running, wait_for

pytest.importorskip("ray", reason="Ray has no release for this Python or system")
from ray.cluster_utils import Cluster

N, SHARDS = 200_000, 200


@pytest.fixture
def cluster():
    node = {"num_cpus": 1, "object_store_memory": 10**8}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        yield made, made.add_node(**node)
    finally:
        made.shutdown()


def written():
    return len(list(Path("out/data").glob("train-*.parquet")))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # Ray's own
def test_a_node_is_lost_and_nothing_else(cluster):
    """SIGKILL for the second node in the middle: complete, and the bytes of a build in one process."""
    made, second = cluster
    options = ["--num-samples", str(N), "--num-shards", str(SHARDS), "--engine", "ray", "--address", made.address]
    with running(*options) as process:
        wait_for(lambda: written() >= 20 or process.poll() is not None, seconds=90)
        workers = _workers_of(second)
        made.remove_node(second, allow_graceful=False)
        at_the_loss = written()
        out, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert 20 <= at_the_loss < SHARDS
    assert workers, "the lost node had no worker"
    assert f"{N:,} samples in {SHARDS} files" in out
    plan = ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", {"num_samples": N}), SHARDS)
    build_shards(plan, "alone", engines.in_this_process)
    assert contents("out") == contents("alone")
    assert verify_folder("out") == SHARDS + 2


def _workers_of(node):
    """Processes that ran tasks of the build on that node."""
    raylet = next(processes[0].process.pid for kind, processes in node.all_processes.items() if kind == "raylet")
    listing = subprocess.run(["ps", "-eo", "ppid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if line.split()[0] == str(raylet) and "ray::" in line]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:no", "auto"])
def test_a_cluster_that_is_not_there(address):
    command = [sys.executable, "-m", "mnist1d_hf.cli", "build", "--config", "stream", "--num-samples", "10"]
    command += ["--engine", "ray", "--address", address, "--output", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"engine ray: no cluster at {address}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("out", SUMS).exists()
