#!/usr/bin/env python
"""Measure this package and its peers in one run, and print ratios.

    .venv/bin/python scripts/benchmark.py                  # after scripts/test, which installs the peer `mnist1d`
    .venv/bin/python scripts/benchmark.py --update-readme  # and put the tables into scripts/README.md

What is compared is timed in turn (ours, theirs, ours, theirs, ...), after one run of each that is not counted; a ratio
is the median over the pairs. Times are medians. Loading is timed in a new process each time.
"""

from __future__ import annotations

# One thread, to be decided before NumPy is loaded.
import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import dataclasses
import importlib.metadata
import multiprocessing
import platform
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import benchmark_training
import datasets
import numpy as np
import torch.utils.data
from datasets.distributed import split_dataset_by_node
from readme import put_section
from rich.console import Console
from rich.progress import track

import mnist1d_hf
from mnist1d_hf.cli.terminal import run_main
from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.export.build import build
from mnist1d_hf.export.whole import SplitPlan

T = TypeVar("T")
START, END = "<!-- benchmark: made by scripts/benchmark.py --update-readme -->", "<!-- end of benchmark -->"
CASES: list[dict[str, object]] = [
    {},
    {"num_samples": 50_000},
    {"num_samples": 500},
    {"corr_noise_scale": 0.0, "iid_noise_scale": 0.0},
    {"shuffle_seq": True},
    {"max_translation": 1},
    {"padding": (8, 12), "max_translation": 12},
    {"final_seq_length": 200},
    {"padding": (100, 300)},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="counted pairs for each row (default 5)")
    parser.add_argument("--update-readme", action="store_true", help="put the tables into scripts/README.md")
    options = parser.parse_args()
    tables = (generator_table, stream_table, posterior_table, loading_table, build_table, training_table)
    text = "\n\n".join([machine(), *(table(options.pairs) for table in tables)])
    print(text)
    if options.update_readme:
        put_section(START, END, text, readme=Path(__file__).with_name("README.md"))


def machine() -> str:
    """Where it was measured, and with which versions."""
    names = ("mnist1d_hf", "mnist1d", "numpy", "scipy", "datasets", "pyarrow", "torch")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    return f"Measured on {os.cpu_count()} cores of {cpu}, Python {platform.python_version()}, {versions}."


def generator_table(pairs: int) -> str:
    """Samples per second of the exact generator beside the paper's, one process."""
    from mnist1d.data import get_dataset_args
    from mnist1d.data import make_dataset as original

    rows = []
    for arguments in progress(CASES, "generator"):
        config = mnist1d_hf.GeneratorConfig(**arguments)  # type: ignore[arg-type]
        args = get_dataset_args()
        for key, value in dataclasses.asdict(config).items():
            setattr(args, key, value)
        ours, theirs = in_turn(pairs, lambda c=config: mnist1d_hf.make_dataset(c), lambda a=args: original(a))
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        normals = seconds(lambda c=config: legacy_normals(c), pairs)
        limit = statistics.median(theirs) / normals
        speeds = [f"{config.num_samples / statistics.median(times):,.0f}" for times in (ours, theirs)]
        name = ", ".join(f"{key}={value}" for key, value in arguments.items())
        rows.append((f"`{name}`" if name else "default (5,000 samples)", *speeds, f"{ratio:.1f}", f"{limit:.0f}"))
    table = markdown_table(("exact generator", "samples/s", "samples/s of `mnist1d`", "ratio", "limit"), rows)
    return (
        f"{table}\n\nThe limit is the ratio at which nothing but drawing the normals from NumPy's legacy generator, "
        f"which an exact generator cannot avoid, would take time.\n\n"
        f"Peak memory of a process that makes 50,000 samples: {peak_memory(MADE):.0f} MB."
    )


def progress(items: Sequence[T], name: str) -> Iterable[T]:
    """The items, with a bar on the terminal."""
    return track(items, name, console=Console(stderr=True), transient=True)


def in_turn(pairs: int, *functions: Callable[[], object]) -> list[list[float]]:
    """Seconds of each function, called in turn, after one call of each that does not count."""
    times: list[list[float]] = [[] for _ in functions]
    for round_number in range(pairs + 1):
        for function, kept in zip(functions, times, strict=True):
            started = time.perf_counter()
            function()
            if round_number:
                kept.append(time.perf_counter() - started)
    return times


# A name, a function and how many samples it makes; what stands beside it: the same three.
Case = tuple[str, Callable[[], object], int, str, Callable[[], object], int]
STREAM_SAMPLES = 500_000
BATCH = 256


def stream_table(pairs: int) -> str:
    """Samples per second of the stream in several ways, each beside another in turn."""
    from mnist1d.data import get_dataset_args
    from mnist1d.data import make_dataset as original

    args = get_dataset_args()
    count = STREAM_SAMPLES
    signals, labels = (torch.from_numpy(array) for array in mnist1d_hf.sample(range(count)))
    loader = torch.utils.data.DataLoader(
        mnist1d_hf.stream(num_samples=count).with_format("arrow").batch(BATCH),
        batch_size=None,
        collate_fn=mnist1d_hf.to_torch,
    )

    def one() -> None:
        mnist1d_hf.sample(range(count))

    def loaded() -> None:
        assert sum(len(label) for _, label in loader) == count

    def sliced() -> None:
        for start in range(0, count, BATCH):
            _ = signals[start : start + BATCH], labels[start : start + BATCH]

    with multiprocessing.get_context("spawn").Pool(2) as pool:

        def two() -> None:
            pool.map(sample_part, (0, 1), chunksize=1)

        cases = (
            ("`sample`, one thread", one, count, "`mnist1d`", lambda: original(args), args.num_samples),
            ("`sample`, two processes", two, 2 * count, "one process", one, count),
            (f"`stream` through a `DataLoader`, batches of {BATCH}", loaded, count, "`sample`", one, count),
            *row_cases(count // 10),
            (f"slices of {BATCH} of tensors in memory", sliced, count, "`sample`", one, count),
        )
        rows = []
        for name, function, made, other_name, other, other_made in progress(cases, "stream"):
            ours, theirs = in_turn(pairs, function, other)
            ratio = statistics.median(made / a * b / other_made for a, b in zip(ours, theirs, strict=True))
            speeds = f"{made / statistics.median(ours):,.0f}", f"{other_made / statistics.median(theirs):,.0f}"
            rows.append(
                (name, speeds[0], f"{other_name}: {speeds[1]}", f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}")
            )
    return markdown_table(("the stream", "samples/s", "beside it", "ratio"), rows)


def row_cases(count: int) -> list[Case]:
    """Rows through a plain `DataLoader`, as existing pipelines read them."""
    whole = mnist1d_hf.stream(num_samples=count).with_format("torch")
    part = split_dataset_by_node(mnist1d_hf.stream(num_samples=2 * count), 1, 2).with_format("torch")
    rows = mnist1d_hf.load_dataset(split="train").with_format("torch")
    copy = datasets.Dataset.from_dict(rows.with_format("numpy", dtype=None)[:], rows.features).with_format("torch")
    name = '`DataLoader(stream().with_format("torch"), batch_size=100)`'
    return [
        read_case(name, whole, "`.batch(100)`", whole.batch(100), None),
        read_case(
            "the same of one of two ranks, `split_dataset_by_node`", part, "`.batch(100)`", part.batch(100), None
        ),
        read_case("the same of the 4,000 rows of `load_dataset`", rows, "a `Dataset` in memory", copy, 100),
    ]


def read_case(name: str, ours: object, other_name: str, theirs: object, batch_size: int | None) -> Case:
    """Reading all batches of 100 of the one, and all batches of the other."""
    loaders = [torch.utils.data.DataLoader(ours, batch_size=100), torch.utils.data.DataLoader(theirs, batch_size)]
    read, other = (lambda loader=loader: sum(len(batch["label"]) for batch in loader) for loader in loaders)
    return name, read, read(), other_name, other, other()


def sample_part(number: int) -> int:
    """One of two equal parts, for a process of its own; the samples themselves stay there."""
    return len(mnist1d_hf.sample(range(number * STREAM_SAMPLES, (number + 1) * STREAM_SAMPLES))[0])


POSTERIORS = 4_000
NOISES: list[dict[str, float]] = [
    {},
    {"corr_noise_scale": 0.0, "iid_noise_scale": 0.0},
    {"corr_noise_scale": 0.5, "iid_noise_scale": 0.04},
]


def posterior_table(pairs: int) -> str:
    """Posteriors per second on one thread beside `sample`; in a new process, the time to make the tables and memory."""
    rows = []
    for noise in progress(NOISES, "posterior"):
        config = mnist1d_hf.GeneratorConfig(**noise)  # type: ignore[arg-type]
        x, _ = mnist1d_hf.sample(range(POSTERIORS), config=config)
        ours, theirs = in_turn(
            pairs,
            lambda x=x, c=config: mnist1d_hf.posterior(x, c),
            lambda c=config: mnist1d_hf.sample(range(STREAM_SAMPLES), 0, c),
        )
        ratio = statistics.median(POSTERIORS / a * b / STREAM_SAMPLES for a, b in zip(ours, theirs, strict=True))
        speeds = [f"{n / statistics.median(times):,.0f}" for n, times in ((POSTERIORS, ours), (STREAM_SAMPLES, theirs))]
        made = (
            f"config = mnist1d_hf.GeneratorConfig(**{noise}); x, _ = mnist1d_hf.sample(range({POSTERIORS}), 0, config)"
        )
        spent = "result = time.perf_counter() - started"
        first = f"started = time.perf_counter(); mnist1d_hf.posterior(x[:1], config); {spent}"
        tables = statistics.median(in_new_process(f"{made}\n{first}") for _ in range(pairs))
        memory = peak_memory(f"{made}\nmnist1d_hf.posterior(x, config)")
        name = ", ".join(f"{key}={value}" for key, value in noise.items())
        rows.append(
            (f"`{name}`" if name else "default", *speeds, f"{ratio:.4f}", f"{tables:.2f} s", f"{memory:.0f} MB")
        )
    columns = ("`posterior`, one thread", "signals/s", "`sample`, signals/s", "ratio", "first call", "peak memory")
    return markdown_table(columns, rows)


BUILDS = ((2_000_000, 1), (2_000_000, 2), (20_000_000, 2))


def build_table(pairs: int) -> str:  # noqa: ARG001
    """Time and memory of `mnist1d-hf build --config stream`, each once."""
    rows = []
    for count, processes in progress(BUILDS, "builds"):
        with tempfile.TemporaryDirectory() as folder:
            command = ["build", "--config", "stream", "--num-samples", str(count), "--num-proc", str(processes)]
            started = time.perf_counter()
            peak = peak_of_tree([sys.executable, "-m", "mnist1d_hf.cli", *command, "--output", f"{folder}/stream"])
            spent = time.perf_counter() - started
        rows.append((f"{count:,}", str(processes), f"{spent:.1f} s", f"{count / spent:,.0f}", f"{peak:.0f} MB"))
    columns = ("`build --config stream`", "processes", "time", "samples/s", "peak memory of a process")
    return markdown_table(columns, rows)


def training_table(pairs: int) -> str:
    """Training of ten seeds side by side: stacked layers, `torch.func.vmap` and a plain loop."""
    names = progress(list(benchmark_training.STEPS), "training")
    rows = [benchmark_training.row(name, pairs, in_turn) for name in names]
    return markdown_table(benchmark_training.COLUMNS, rows)


def peak_of_tree(command: list[str]) -> float:
    """Megabytes at most resident in any one process of a command and its children."""
    peaks: dict[int, float] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as root:
        while root.poll() is None:
            for process in (root.pid, *children(root.pid)):
                lines = [line for line in _lines(f"/proc/{process}/status") if line.startswith("VmHWM")]
                peaks[process] = max(peaks.get(process, 0.0), *(int(line.split()[1]) * 1024e-6 for line in lines), 0.0)
            time.sleep(0.02)
        assert root.returncode == 0
    return max(peaks.values())


def children(process: int) -> list[int]:
    """The processes that this one has started."""
    text = " ".join(_lines(f"/proc/{process}/task/{process}/children"))
    return [int(number) for number in text.split()]


def seconds(function: Callable[[], object], runs: int) -> float:
    """Median seconds of a call."""
    return statistics.median(in_turn(runs, function)[0])


def legacy_normals(config: mnist1d_hf.GeneratorConfig) -> None:
    """What no exact generator can avoid: the normals, in the largest calls that the order of the draws allows."""
    draw = np.random.RandomState(config.seed).standard_normal
    for _ in range(config.num_samples):
        draw(2 * config.padded_length)


MADE = "mnist1d_hf.make_dataset(mnist1d_hf.GeneratorConfig(num_samples=50_000))"


def peak_memory(code: str) -> float:
    """Megabytes at most resident while `code` runs in a new process, the libraries included."""
    status = 'open("/proc/self/status")'
    peak = f'next(int(line.split()[1]) for line in {status} if line.startswith("VmHWM")) * 1024e-6'
    return in_new_process(f"{code}\nresult = {peak}")


def in_new_process(code: str, preamble: str = "import datasets, mnist1d_hf") -> float:
    """The number called `result` that `code` leaves behind in a fresh interpreter with an empty cache."""
    script = f"import time\n{preamble}\n{textwrap.dedent(code)}\nprint(result)"
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HF_HOME": home, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def loading_table(pairs: int) -> str:
    """Loading the default configuration beside a local Parquet folder with the same rows; imports and arrays."""
    with tempfile.TemporaryDirectory() as folder:
        config = Mnist1dBuilderConfig.resolve("default", {})
        parquet = str(build(SplitPlan(config), Path(folder) / "parquet"))

        def load(path: str, cache: str) -> str:
            return (
                f"started = time.perf_counter(); dataset = datasets.load_dataset({path!r}, cache_dir={cache!r}); "
                "result = 1000 * (time.perf_counter() - started)"
            )

        cold: tuple[list[float], list[float]] = ([], [])
        warm: tuple[list[float], list[float]] = ([], [])
        for number in progress(range(pairs), "loading"):
            for path, first, second in (("mnist1d", cold[0], warm[0]), (parquet, cold[1], warm[1])):
                code = load(path, f"{folder}/{Path(path).name}-{number}")
                first.append(in_new_process(code))
                second.append(in_new_process(code))
    rows = [_compared("`load_dataset`, empty cache", *cold), _compared("`load_dataset`, cached", *warm)]
    table = markdown_table(("loading, in a new process", "`mnist1d`", "local Parquet folder", "time ratio"), rows)
    imports = [in_new_process(IMPORT, "import datasets") for _ in range(pairs)]
    arrays = {name: [in_new_process(ARRAYS.format(name)) for _ in range(pairs)] for name in ARRAY_FUNCTIONS}
    lines = [f"`import mnist1d_hf` after `import datasets`: {statistics.median(imports):.0f} ms."]
    lines += [f"`{name}` of the training split: {statistics.median(times):.2f} ms." for name, times in arrays.items()]
    return f"{table}\n\n{' '.join(lines)}"


ARRAY_FUNCTIONS = ("to_numpy", "to_torch")
IMPORT = "started = time.perf_counter(); import mnist1d_hf; result = 1000 * (time.perf_counter() - started)"
# The second of two calls: the first also imports torch.
ARRAYS = """
dataset = mnist1d_hf.load_dataset(split="train")
for _ in range(2):
    started = time.perf_counter()
    mnist1d_hf.{0}(dataset)
    result = 1000 * (time.perf_counter() - started)
"""


def _compared(name: str, ours: list[float], theirs: list[float]) -> tuple[str, ...]:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return name, f"{statistics.median(ours):.0f} ms", f"{statistics.median(theirs):.0f} ms", f"{ratio:.2f}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    run_main("benchmark.py", main)
