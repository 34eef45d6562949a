"""`mnist1d-hf`: the commands, and how they end."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import datasets
import typer

import mnist1d_hf
from mnist1d_hf.cli import data, publishing, studies, training
from mnist1d_hf.cli.playground import playground
from mnist1d_hf.cli.terminal import INTERRUPTED, run_main
from mnist1d_hf.errors import UserError

# Typer brings its own copy of click from 0.25 on: the classes are reached through the one it exports.
_ClickException: Any = typer.BadParameter.__base__.__base__  # type: ignore[union-attr]

app = typer.Typer(
    name="mnist1d-hf",
    help="MNIST-1D for the Hugging Face ecosystem: build it, check it, look at it.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: boxes cut long option names off on 80 columns
)


def main() -> NoReturn:
    """Run the command of `sys.argv`. Errors that the user can fix end in one line; see `run_main`."""
    run_main("mnist1d-hf", _run)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mnist1d-hf {mnist1d_hf.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:  # as click does it: the help, and the exit code of a wrong usage
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def _run() -> int:
    """The command of `sys.argv`; its exit code."""
    try:
        result = app(prog_name="mnist1d-hf", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _ClickException as error:
        context = getattr(error, "ctx", None)
        message = error.format_message().rstrip(".")
        raise UserError(f"{message}; see {context.command_path} --help" if context else message) from None
    except datasets.exceptions.DatasetsError as error:
        raise _cause(error) from None
    if result == INTERRUPTED:  # newer Typer returns this code where older ones raise Abort
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _cause(error: BaseException) -> BaseException:
    """The first cause that the user can fix, if there is one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (UserError, OSError)):
        cause = cause.__cause__ or cause.__context__
    return cause or error


app.command(
    epilog="Examples: mnist1d-hf build --config large-40k --seed 7 --output data/large-7 | "
    "mnist1d-hf build --config stream --num-samples 20000000 --num-proc 2 --output data/stream"
)(data.build)
app.command(epilog="Examples: mnist1d-hf info | mnist1d-hf info shuffled")(data.info)
app.command(epilog="Examples: mnist1d-hf verify | mnist1d-hf verify default | mnist1d-hf verify data/large-7")(
    data.verify
)
app.command(epilog="Example: mnist1d-hf plot transformations --label 5 --output steps.svg")(data.plot)
app.command(epilog="Example: mnist1d-hf demo --output demo-output")(data.demo)
app.command(epilog="Example: mnist1d-hf train cnn --seeds 0:20 --output runs/cnn")(training.train)
app.command(epilog="Examples: mnist1d-hf evaluate cnn | mnist1d-hf evaluate runs/cnn --figure confusion.png")(
    training.evaluate
)
app.command(epilog=studies.STUDY_EXAMPLES)(studies.study)
app.command(epilog="Examples: mnist1d-hf playground | mnist1d-hf playground --port 8000 --no-browser")(playground)
app.add_typer(publishing.app, name="publish")
