"""Builds on a real Ray cluster on this machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnist1d_hf.errors import OutputError
from mnist1d_hf.export import engines
from mnist1d_hf.export.build import build
from mnist1d_hf.export.folder import SUMS
from tests.export.test_build import contents, shard_plan, wait_for

pytest.importorskip("ray", reason="Ray has no release for this Python or system")
from ray.cluster_utils import Cluster

N, SHARDS = 200_000, 200
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    """Ray would keep one in the home directory."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.fixture
def _one_node():
    import ray

    ray.init(num_cpus=2, object_store_memory=10**8, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("_one_node")
def test_a_cluster_gives_the_same_bytes():
    reported = []
    build(shard_plan(), "out", engines.on_ray(), progress=reported.append)
    assert sum(reported) == 2000
    build(shard_plan(), "alone")
    assert contents("out") == contents("alone")


@pytest.mark.long
@pytest.mark.usefixtures("_one_node")
def test_an_error_on_a_node_is_one_for_the_user():
    Path("out/data/train-00002-of-00004.parquet").mkdir(parents=True)
    Path("out/build.json").write_text(json.dumps(shard_plan().settings()))
    with pytest.raises(OutputError, match=r"out: cannot be written: Is a directory; what is finished is kept"):
        build(shard_plan(), "out", engines.on_ray())


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


@pytest.mark.long
def test_a_node_is_lost_and_nothing_else(cluster):
    """SIGKILL for the second node in the middle: complete, and the bytes of a build in one process."""
    made, second = cluster
    command = [sys.executable, "-m", "mnist1d_hf.cli", "build", "--config", "stream", "--num-samples", str(N)]
    command += ["--num-shards", str(SHARDS), "--engine", "ray", "--address", made.address, "--output", "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: written() >= 20 or process.poll() is not None)
        workers = workers_of(second)
        made.remove_node(second, allow_graceful=False)
        at_the_loss = written()
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert 20 <= at_the_loss < SHARDS
    assert workers, "the lost node had no worker"
    build(shard_plan(SHARDS, num_samples=N), "alone")
    assert contents("out") == contents("alone")


def workers_of(node):
    """Processes that ran tasks of the build on that node."""
    raylet = next(processes[0].process.pid for kind, processes in node.all_processes.items() if kind == "raylet")
    listing = subprocess.run(["ps", "-eo", "ppid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if line.split()[0] == str(raylet) and "ray::" in line]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:no", "auto"])
def test_a_cluster_that_is_not_there(address):
    with pytest.raises(OutputError, match=f"engine ray: no cluster at {address}"):
        build(shard_plan(), "out", engines.on_ray(address))
    assert not Path("out", SUMS).exists()
