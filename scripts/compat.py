#!/usr/bin/env python3
"""Whether the package works in other environments than .venv; run by `scripts/test --compat`.

    scripts/test --compat                   # all
    scripts/test --compat datasets-3.6      # some: the names of the table

The package without any extra runs the tests of the data, with this Python and with the oldest one that is allowed. The
dataset and the baselines are published to a loopback Hub, and loaded from there by old releases without this package;
so are folders that `mnist1d-hf build` writes, with each of its options. MiniRocket is compared with that of aeon, which
does not know today's NumPy.
The environments stay in .venv-compat and are used again while what they hold is asked for; the first run takes minutes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mnist1d_hf.cli.terminal import print_table, run_main
from tests.hub.client import client_environment
from tests.hub.server import HubServer

NAMESPACE = "user"
BASE_TESTS = ("tests/data", "tests/test_compat.py", "tests/test_cli.py", "tests/playground/test_serve.py")

LOAD_DATASET = """
import hashlib, json, sys, warnings
warnings.simplefilter("ignore")
import datasets, numpy
datasets.config.USE_PARQUET_EXPORT = False
datasets.disable_progress_bars()
repo_id, expected = sys.argv[1], json.loads(open(sys.argv[2]).read())

def digest(rows):
    columns = {"x": numpy.asarray(rows["x"], "<f4"), "label": numpy.asarray(rows["label"], "<i8")}
    return {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in columns.items()}

names = datasets.get_dataset_config_names(repo_id)
assert sorted(names) == sorted(expected), f"configurations: expected {sorted(expected)}, found {sorted(names)}"
for name in names:
    whole = datasets.load_dataset(repo_id, name)
    assert sorted(whole) == sorted(expected[name]), f"{name}: found the splits {sorted(whole)}"
    for split, rows in whole.items():
        label = rows.features["label"]
        assert isinstance(label, datasets.ClassLabel) and label.num_classes == 10, f"{name} {split}: {label}"
        assert digest(rows.with_format("numpy")[:]) == expected[name][split], f"{name} {split}: other numbers"
    for split, rows in whole.items():
        stream = list(datasets.load_dataset(repo_id, name, split=split, streaming=True).take(1000))
        streamed = {column: [row[column] for row in stream] for column in ("x", "label")}
        assert digest(streamed) == digest(rows.with_format("numpy")[:1000]), f"{name}: other numbers when streamed"
print(f"{len(names)} configurations, whole and streamed")
"""

# What a folder of a build holds: every column, at full precision, and its type. Runs here and in old releases.
DESCRIBE = """
import hashlib, json, sys, warnings
warnings.simplefilter("ignore")
import datasets, numpy
datasets.disable_progress_bars()

def describe(rows):
    found = {}
    for name, feature in rows.features.items():
        values = numpy.array(rows.data.column(name).combine_chunks().to_pylist())
        inner = getattr(feature, "feature", feature)
        found[name] = [type(inner).__name__, inner.dtype, getattr(feature, "length", None),
                       getattr(inner, "names", None), hashlib.sha256(values.tobytes()).hexdigest()]
    return found
"""

# Writes folders with the command line, and what the same arguments give without such files.
WRITE_BUILDS = (
    DESCRIBE
    + """
import mnist1d_hf
from mnist1d_hf.cli import main

expected = {}
for build, arguments in json.loads(sys.argv[1]).items():
    sys.argv = ["mnist1d-hf", "build", "--output", build]
    for name, value in arguments.items():
        sys.argv.append("--config" if name == "name" else "--" + name.replace("_", "-"))
        sys.argv += [] if value is True else [str(value)]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 0, f"{sys.argv}: exit code {ended.code}"
    whole = mnist1d_hf.load_dataset(**arguments, cache_dir="cache")
    expected[build] = {split: describe(rows) for split, rows in whole.items()}
with open("expected.json", "w") as file:
    json.dump(expected, file)
"""
)

LOAD_BUILT = (
    DESCRIBE
    + """
folder = sys.argv[1]
expected = json.loads(open(folder + "/expected.json").read())
for build, splits in expected.items():
    path = f"{folder}/{build}"
    names = datasets.get_dataset_config_names(path)
    assert names == ["default"], f"{build}: configurations {names}"
    for arguments in ([], names):
        whole = datasets.load_dataset(path, *arguments)
        assert {split: describe(rows) for split, rows in whole.items()} == splits, f"{build}: other rows"
    for split, rows in whole.items():
        stream = datasets.load_dataset(path, split=split, streaming=True)
        assert list(stream.take(50)) == list(rows.select(range(50))), f"{build} {split}: other rows when streamed"
print(f"{len(expected)} builds")
"""
)

LOAD_MODELS = """
import json, sys, warnings
warnings.simplefilter("ignore")
import torch
from transformers import AutoModelForSequenceClassification
namespace, expected = sys.argv[1], json.loads(open(sys.argv[2]).read())
x = torch.tensor(expected.pop("x"))
for name, logits in expected.items():
    model = AutoModelForSequenceClassification.from_pretrained(f"{namespace}/mnist1d-{name}", trust_remote_code=True)
    assert type(model).__module__.startswith("transformers_modules"), type(model)
    assert model.config.num_labels == 10, f"{name}: {model.config.num_labels} labels"
    with torch.no_grad():
        found = model(x).logits
    distance = (found - torch.tensor(logits)).abs().max().item()
    assert distance < 1e-4, f"{name}: logits differ by {distance}"
print(f"{len(expected)} baselines, with their logits")
"""

# aeon's MiniRocket: what it was fitted to, and its features.
MINIROCKET = """
import sys, numpy
from aeon.transformations.collection.convolution_based import MiniRocket
signals = numpy.load(sys.argv[1])
transform = MiniRocket(n_kernels=int(sys.argv[3]), n_jobs=1).fit(signals["train"][:, None])
*_, dilations, counts, biases = transform.parameters
features = transform.transform(signals["test"][:, None])
numpy.savez(sys.argv[2], dilations=dilations, counts=counts, biases=biases, features=features)
"""


BUILDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "latents": {"latents": True},
    "clean": {"clean": True},
    "posterior": {"posterior": True},
    "label-noise": {"label_noise": 0.15},
    "validation": {"validation": 0.1},
    "float64": {"dtype": "float64"},
    "no-test": {"num_train": 900, "num_test": 0},
    "all": {"latents": True, "clean": True, "label_noise": 0.5, "validation": 0.2, "dtype": "float64", "seed": 3},
    "stream": {"name": "stream", "num_samples": 2500, "latents": True, "clean": True, "label_noise": 0.2},
}


@dataclasses.dataclass(frozen=True)
class Environment:
    """A place to try something: what to install (`versions` are asked for afterwards), and with which Python.

    With `base` it holds this package without extras, and runs tests; the others load what is published.
    """

    name: str
    requirements: tuple[str, ...]
    versions: tuple[str, ...]
    python: str = sys.executable
    base: bool = False

    @property
    def folder(self) -> Path:
        return ROOT / ".venv-compat" / self.name

    @property
    def interpreter(self) -> str:
        return str(self.folder / "bin" / "python")

    def prepare(self) -> None:
        """Make it, unless it is there and as it should be.

        Raises:
            RuntimeError: pip failed.
        """
        asked = [ROOT / name for name in ("pyproject.toml", "constraints.txt")] if self.base else []
        pinned = "".join(path.read_text(encoding="utf-8") for path in asked)
        version = run([self.python, "--version"], 60)
        stated = json.dumps([str(ROOT), version, self.requirements, pinned])
        state, stamp = hashlib.sha256(stated.encode()).hexdigest(), self.folder / ".prepared"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
            return
        print(f"Preparing {self.folder.relative_to(ROOT)} ...", file=sys.stderr, flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        run([self.python, "-m", "venv", str(self.folder)], 300)
        options = ["--constraint", str(ROOT / "constraints.txt")] if self.base else []
        pip = [self.interpreter, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run([*pip, *options, *self.requirements], 3600)
        stamp.write_text(state, encoding="utf-8")

    def installed(self) -> str:
        """The versions that count, for the table."""
        code = "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
        python = run([self.interpreter, "--version"], 60).removeprefix("Python ")
        return f"{run([self.interpreter, '-c', code, *self.versions], 60)}, Python {python}"


def run(command: list[str], timeout: float, **more: Any) -> str:
    """The output of a command.

    Raises:
        RuntimeError: it failed; its last line.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **more)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).strip().splitlines() if line.strip()]
        raise RuntimeError(lines[-1].strip() if lines else f"exit code {done.returncode}")
    return done.stdout.strip()


# datasets of 2025 asks for no upper bound of these, but does not know their later releases.
_OF_2025 = ("huggingface_hub<1", "pyarrow<22", "pandas<3", "numpy<2.4")


def environments() -> list[Environment]:
    """All of them; the oldest transformers and Python are those that pyproject.toml allows."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = re.findall(r'"transformers>=([\d.]+)|requires-python = ">=([\d.]+)"', project)
    transformers = next(found[0] for found in oldest if found[0])
    python = "python" + next(found[1] for found in oldest if found[1])
    torch = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert torch is not None
    return [
        Environment("datasets-3.6", ("datasets==3.6.0", *_OF_2025), ("datasets", "pyarrow")),
        Environment("datasets-4.0", ("datasets==4.0.0", *_OF_2025), ("datasets", "pyarrow")),
        Environment(
            f"transformers-{transformers}",
            (f"transformers=={transformers}.0", torch[0]),
            ("transformers", "huggingface_hub", "torch"),
        ),
        Environment("aeon-1.3", ("aeon==1.3.0",), ("aeon", "numba", "numpy")),
        *(
            Environment(
                name,
                ("--editable", str(ROOT), "pytest", "hypothesis", "scipy", "mnist1d"),
                ("datasets", "numpy", "pyarrow"),
                interpreter,
                base=True,
            )
            for name, interpreter in (("base", sys.executable), (python, python))
        ),
    ]


@contextmanager
def published(folder: Path) -> Iterator[dict[str, str]]:
    """A loopback Hub with everything; the environment of processes that talk to it."""
    with HubServer() as server:
        for arguments in (["dataset", "--repo-id", f"{NAMESPACE}/mnist1d"], ["models", "--namespace", NAMESPACE]):
            environment = client_environment(server.url, folder / "home", "hf_write")
            run([sys.executable, "-m", "mnist1d_hf.cli", "publish", *arguments], 900, env=environment, cwd=ROOT)
        yield client_environment(server.url, folder / "home")


def expected_numbers(url: str, folder: Path) -> tuple[Path, Path]:
    """What old releases must find: checksums of each column of the published Parquet, and logits."""
    data, models = folder / "data.json", folder / "models.json"
    code = f"""
        import json, hashlib, sys
        sys.path.insert(0, {str(ROOT)!r})
        import datasets, numpy, torch, mnist1d_hf
        datasets.disable_progress_bars()
        found, sample = {{}}, None
        for name in datasets.get_dataset_config_names("{NAMESPACE}/mnist1d"):
            arrays = {{split: mnist1d_hf.to_numpy(rows) for split, rows in
                      datasets.load_dataset("{NAMESPACE}/mnist1d", name).items()}}
            found[name] = {{split: {{"x": hashlib.sha256(x.astype("<f4").tobytes()).hexdigest(),
                            "label": hashlib.sha256(y.astype("<i8").tobytes()).hexdigest()}}
                           for split, (x, y) in arrays.items()}}
            sample = arrays["test"][0][:16] if name == "default" else sample
        json.dump(found, open({str(data)!r}, "w"))
        x = torch.tensor(numpy.array(sample))
        logits = {{entry.name: mnist1d_hf.load_pretrained(entry.name)(x).logits.tolist()
                  for entry in mnist1d_hf.list_pretrained()}}
        json.dump({{"x": x.tolist(), **logits}}, open({str(models)!r}, "w"))
    """
    run(
        [sys.executable, "-c", textwrap.dedent(code)], 600, env=client_environment(url, folder / "expected"), cwd=folder
    )
    return data, models


def write_builds(folder: Path) -> None:
    """Write a folder of each of `BUILDS` with the command line, and `expected.json`."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run([sys.executable, "-c", WRITE_BUILDS, json.dumps(BUILDS)], 300, env=environment, cwd=folder)


def run_base_tests(environment: Environment) -> str:
    """The tests of the data and of the commands that need no extra; their last line."""
    command = [environment.interpreter, "-m", "pytest", "-o", "addopts=-q --import-mode=importlib -p no:cacheprovider"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return run([*command, *BASE_TESTS], 1800, env=plain, cwd=ROOT).splitlines()[-1]


def load_published(environment: Environment, folder: Path, hub: dict[str, str], numbers: tuple[Path, Path]) -> str:
    """Load from the loopback Hub what this environment has a library for; what was found good."""
    home = {**hub, "HF_HOME": str(folder / environment.name), "PYTHONWARNINGS": "ignore"}
    python = environment.interpreter
    if environment.name.startswith("datasets"):
        built = run([python, "-c", LOAD_BUILT, str(folder / "builds")], 600, env=home, cwd=folder)
        arguments = [f"{NAMESPACE}/mnist1d", str(numbers[0])]
        return f"{run([python, '-c', LOAD_DATASET, *arguments], 600, env=home, cwd=folder)}; {built}"
    return run([python, "-c", LOAD_MODELS, NAMESPACE, str(numbers[1])], 600, env=home, cwd=folder)


def compare_minirocket(environment: Environment) -> str:
    """MiniRocket here and in aeon, from one training signal: which one biases come from is random otherwise."""
    import numpy as np

    from mnist1d_hf.data.stream import sample
    from mnist1d_hf.studies import minirocket

    train, test = sample(range(1), 0)[0], sample(range(500), 1)[0]
    for features in (420, 9996):
        ours = minirocket.fit(train, features)
        with tempfile.TemporaryDirectory(prefix="mnist1d-compat-") as folder:
            given, taken = f"{folder}/signals.npz", f"{folder}/aeon.npz"
            np.savez(given, train=train, test=test)
            run([environment.interpreter, "-c", MINIROCKET, given, taken, str(features)], 600)
            theirs = dict(np.load(taken))
        equal = (np.abs(ours.transform(test) - theirs["features"]) < 1e-6).mean()
        if (
            ours.dilations != tuple(theirs["dilations"]) or equal < 0.9999
        ):  # the rest: values at a bias, but for rounding
            raise RuntimeError(f"MiniRocket: {100 * equal:.3f} % of the features are aeon's, expected 99.99 %")
        biases = np.concatenate([values.ravel() for values in ours.biases])
        if not np.allclose(biases, theirs["biases"], atol=1e-4):
            raise RuntimeError("MiniRocket: other biases than aeon's")
    return "MiniRocket with 420 and 9,996 features, that of this package"


def try_one(environment: Environment, attempt: Callable[[Environment], str]) -> tuple[str, ...]:
    """A row of the table."""
    started = time.perf_counter()
    versions = ""
    try:
        if shutil.which(environment.python) is None or not _starts(environment.python):
            return (environment.name, "skipped", f"{environment.python} was not found", "", "")
        environment.prepare()
        versions = environment.installed()
        outcome, what = "passed", attempt(environment)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        outcome, what = "FAILED", str(error)
    return (environment.name, outcome, what, versions, f"{time.perf_counter() - started:.0f} s")


def _starts(python: str) -> bool:
    """Whether it is more than a name: version managers leave such behind."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Try all environments, or those that are named."""
    known = {environment.name: environment for environment in environments()}
    unknown = [name for name in sys.argv[1:] if name not in known]
    if unknown:
        print(f"scripts/test --compat: expected names among {', '.join(known)}, found {unknown[0]!r}", file=sys.stderr)
        sys.exit(2)
    chosen = [known[name] for name in sys.argv[1:] or known]
    rows = [try_one(environment, run_base_tests) for environment in chosen if environment.base]
    rows += [try_one(environment, compare_minirocket) for environment in chosen if environment.name.startswith("aeon")]
    readers = [environment for environment in chosen if environment.name.startswith(("datasets", "transformers"))]
    if readers:
        with tempfile.TemporaryDirectory(prefix="mnist1d-compat-") as name, published(Path(name)) as hub:
            numbers = expected_numbers(hub["HF_ENDPOINT"], Path(name))
            write_builds(Path(name) / "builds")
            rows += [
                try_one(environment, lambda item: load_published(item, Path(name), hub, numbers))
                for environment in readers
            ]
    print_table("Other environments", ("environment", "", "what", "versions", "time"), rows, right=(4,))
    sys.exit(any(row[1] == "FAILED" for row in rows))


if __name__ == "__main__":
    run_main("scripts/test --compat", main)
