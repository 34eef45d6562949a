"""The commands about data: build, info, verify, plot, demo. Only arguments, tables and progress bars."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import datasets
import typer

import mnist1d_hf
from mnist1d_hf.cli import training
from mnist1d_hf.cli.terminal import console, option, print_table, progress
from mnist1d_hf.data import describe
from mnist1d_hf.data.checksums import checksum_differences, expected_checksums, measure
from mnist1d_hf.data.configurations import CONFIGURATIONS, Checksums, find_configuration
from mnist1d_hf.data.generator import generate
from mnist1d_hf.data.schema import OPTIONS, Mnist1dBuilderConfig
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.export import engines
from mnist1d_hf.export.build import build as build_folder
from mnist1d_hf.export.build import rebuild_damaged
from mnist1d_hf.export.folder import verify_folder
from mnist1d_hf.export.plan import ShardPlan
from mnist1d_hf.export.whole import SplitPlan
from mnist1d_hf.runs import Engine, in_this_process

_UsageError: Any = typer.BadParameter.__base__  # of the click that typer brings with it

Config = Annotated[str, typer.Option("--config", "-c", help=f"Configuration: {', '.join(CONFIGURATIONS)}.")]
Seed = Annotated[int | None, option("Seed, 0 to 4294967295; of the stream to 2**63 - 1.")]


def build(
    output: Annotated[str, typer.Option("--output", "-o", help="Folder to make, or a URL that fsspec knows.")],
    config: Config = "default",
    num_samples: Annotated[int | None, option("Samples in both splits together.")] = None,
    train_split: Annotated[float | None, option("Fraction of the training split; 1 for no test split.")] = None,
    num_train: Annotated[int | None, option("Training samples, instead of the two above.")] = None,
    num_test: Annotated[int | None, option("Test samples, with --num-train; 0 for no test split.")] = None,
    validation: Annotated[float | None, option("Fraction of the training rows for a split of their own.")] = None,
    template_len: Annotated[int | None, option("Points before padding.")] = None,
    padding: Annotated[tuple[int, int] | None, option("Least and greatest padding.")] = None,
    scale_coeff: Annotated[float | None, option("Width of the random factor.")] = None,
    max_translation: Annotated[int | None, option("Circular shifts: 0 to this, less one.")] = None,
    corr_noise_scale: Annotated[float | None, option("Standard deviation of the smoothed noise.")] = None,
    iid_noise_scale: Annotated[float | None, option("Standard deviation of the white noise.")] = None,
    shear_scale: Annotated[float | None, option("Width of the random slope.")] = None,
    shuffle_seq: Annotated[bool | None, option("Permute the positions.")] = None,
    final_seq_length: Annotated[int | None, option("Points of a signal.")] = None,
    seed: Seed = None,
    dtype: Annotated[str | None, option("float32 (default) or float64.")] = None,
    latents: Annotated[bool | None, option("Add the drawn latents as columns.")] = None,
    clean: Annotated[bool | None, option("Add the signals without noise as a column.")] = None,
    label_noise: Annotated[float | None, option("Fraction of the training labels to draw anew.")] = None,
    posterior: Annotated[bool | None, option("Add the exact probability of every class as a column.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier build.")] = False,
    num_proc: Annotated[int | None, option("Processes, for the stream.")] = None,
    num_shards: Annotated[int | None, option("Files, for the stream.")] = None,
    engine: Annotated[str | None, option("Who writes the stream: local (default) or ray.")] = None,
    address: Annotated[str | None, option("Of the Ray cluster; starts one without.")] = None,
) -> None:
    """Write a configuration as Parquet with a card: a folder that load_dataset(FOLDER) reads.

    Stopped at any point, the same command goes on from there.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    chosen = Mnist1dBuilderConfig.resolve(config, {name: given.get(name) for name in OPTIONS})
    started = time.perf_counter()
    plan: ShardPlan | SplitPlan
    if chosen.rows is not None:
        plan, writer = ShardPlan.of(chosen, num_shards), _engine(engine, num_proc, address)
        label, total = "writing", sum(plan.rows())
        what = f"{total:,} samples in {plan.num_shards:,} files"
    else:
        for name in ("num_proc", "num_shards", "engine", "address"):
            if name in given:
                raise _UsageError(f"--{name.replace('_', '-')} goes with --config stream, not with {config}")
        plan, writer = SplitPlan(chosen), in_this_process
        label, total = "generating", sum(chosen.split_sizes.values())
        what = " and ".join(f"{size:,} {name}" for name, size in chosen.split_sizes.items()) + " samples"
    with progress(label, total) as advance:
        place = build_folder(plan, output, writer, overwrite=overwrite, progress=advance)
    console.print(f"{place}: {what} ({chosen.identifier}) in {time.perf_counter() - started:.2f} s")


def _engine(name: str | None, num_proc: int | None, address: str | None) -> Engine:
    if name not in (None, "local", "ray"):
        raise InvalidValueError(f"engine: expected local or ray, found {name!r}")
    if name == "ray":
        if num_proc is not None:
            raise _UsageError("--num-proc goes with --engine local; a cluster decides itself")
        return engines.on_ray(address)
    if address is not None:
        raise _UsageError("--address goes with --engine ray")
    return engines.on_this_machine(1 if num_proc is None else num_proc)


def info(
    name: Annotated[str | None, typer.Argument(help="One configuration; all without it.", show_default=False)] = None,
    markdown: Annotated[
        bool, option("Print the tables of configurations and baselines in Markdown.", "--markdown")
    ] = False,
) -> None:
    """Show configurations, sizes, arguments and checksums."""
    if markdown:
        from mnist1d_hf.training import tables

        print(f"{describe.markdown()}\n\n{tables.markdown()}")
        return
    names = list(CONFIGURATIONS) if name is None else [find_configuration(name).name]
    print_table("Configurations", describe.CONFIGURATION_COLUMNS, [describe.configuration_row(item) for item in names])
    print_table("Generator arguments", describe.ARGUMENT_COLUMNS, describe.argument_rows(name or "default"))
    print_table("Options of load_dataset and build", describe.OPTION_COLUMNS, describe.option_rows(name or "default"))
    console.print("SHA-256 (x as float32, label as int64)\n", style="italic")
    for item in names:
        for split, columns in expected_checksums(item).items():
            for column, digest in columns.items():
                print(f"  {digest}  {item} {split} {column}")


def verify(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Configurations, or folders made by build; all configurations without it."),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make damaged files of a build again.")] = False,
) -> None:
    """Recompute checksums and compare them: of configurations, or of the files of a build."""
    if rebuild and not targets:
        raise _UsageError("--rebuild goes with the folder of a build")
    for target in targets or _exact_configurations():
        if target not in CONFIGURATIONS and ("://" in target or Path(target).exists()):
            for name in rebuild_damaged(target) if rebuild else ():
                console.print(f"{target}: {name} made again")
            console.print(f"{target}: {verify_folder(target)} files as they were built")
            continue
        chosen = find_configuration(target)
        if rebuild or chosen.endless:
            raise InvalidValueError(f"{target}: expected the folder of a build, found the name of a configuration")
        if not chosen.checksums:
            console.print(f"{target}: not verified, no checksums are recorded for it")
            continue
        with progress(target, chosen.generator.num_samples) as advance:
            made = generate(chosen.generator, progress=advance)
        halves = {"train": slice(None, made.num_train), "test": slice(made.num_train, None)}
        _require_expected(target, measure({split: (made.x[rows], made.label[rows]) for split, rows in halves.items()}))
        console.print(f"{target}: {len(made.x):,} samples, bit for bit as expected")


def _exact_configurations() -> list[str]:
    return [name for name, item in CONFIGURATIONS.items() if not item.endless]


def _require_expected(name: str, measured: Checksums) -> None:
    differences = checksum_differences(measured, expected_checksums(name))
    if differences:
        raise OutputError(
            f"{name}: {differences[0]}; this machine's arithmetic rounds differently, or the package is damaged"
        )


def plot(
    kind: Annotated[
        str, typer.Argument(help="overview, samples, templates, class-means, pca, transformations or readings.")
    ] = "overview",
    output: Annotated[Path | None, option("PNG or SVG file.", "--output", "-o")] = None,
    config: Config = "default",
    seed: Seed = None,
    label: Annotated[int | None, option("Class, for transformations.")] = None,
) -> None:
    """Draw samples, templates, class means, one sample's way through the transformations, or hard signals."""
    from mnist1d_hf import plots

    chosen = Mnist1dBuilderConfig.resolve(config, {"seed": seed})
    if label is not None and kind != "transformations":
        raise _UsageError(f"--label goes with transformations, not with {kind}")
    options = {} if label is None else {"label": label}
    if kind == "readings":  # it loads the baselines
        from transformers.utils import logging

        logging.disable_progress_bar()
    figure = plots.plot(kind, chosen.generator, **options)
    console.print(str(plots.save(figure, output or Path(f"mnist1d-{kind}.png"))))


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the figures.")] = Path("demo-output"),
    cache_dir: Annotated[Path | None, option("Cache of the datasets; the library's own by default.")] = None,
) -> None:
    """Build and load every configuration, check each against its checksums, evaluate every baseline, draw figures."""
    from mnist1d_hf import plots
    from mnist1d_hf.training import tables

    datasets.disable_progress_bars()
    names, rows = _exact_configurations(), []
    with progress("configurations", len(names)) as advance:
        for name in names:
            rows.append(_demo_row(name, None if cache_dir is None else str(cache_dir)))
            advance(1)
    columns = ("name", "train", "test", "first load", "again", "to_numpy", "SHA-256")
    print_table('load_dataset("mnist1d", configuration)', columns, rows, right=range(1, 6))
    _stream_rate(1000)
    count = 200_000
    console.print(f"The stream, sample(range({count:,})): {_stream_rate(count):,.0f} samples a second in this process")
    training.demo_baselines()
    figures = {"mnist1d.png": plots.plot_overview(), "baselines.png": plots.plot_baselines(tables.accuracies())}
    for name, figure in figures.items():
        console.print(f"Figure: {plots.save(figure, output / name)}")


def _stream_rate(count: int) -> float:
    return count / _timed(lambda: mnist1d_hf.sample(range(count)))[0]


def _demo_row(name: str, cache_dir: str | None) -> tuple[str, ...]:
    """Load a configuration as a user would, twice, and compare it with its checksums, if it has any."""
    first, loaded = _timed(lambda: datasets.load_dataset("mnist1d", name, cache_dir=cache_dir))
    again, loaded = _timed(lambda: datasets.load_dataset("mnist1d", name, cache_dir=cache_dir))
    arrays_time, arrays = _timed(lambda: {split: mnist1d_hf.to_numpy(loaded[split]) for split in loaded})
    _require_expected(name, measure(arrays))
    sizes = [f"{loaded[split].num_rows:,}" for split in ("train", "test")]
    times = [f"{1000 * seconds:,.1f} ms" for seconds in (first, again, arrays_time)]
    expected = expected_checksums(name)
    papers = expected == expected_checksums("default")
    return (name, *sizes, *times, "paper's" if papers else "expected" if expected else "–")


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result
