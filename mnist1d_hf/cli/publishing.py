"""`mnist1d-hf publish`: arguments, plans, what became of each repository. What needs torch is imported when used."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import mnist1d_hf
from mnist1d_hf.cli.terminal import console, messages, print_table
from mnist1d_hf.errors import InvalidValueError, UserError

if TYPE_CHECKING:
    from mnist1d_hf.publishing.plan import Plan
    from mnist1d_hf.publishing.push import Options, Published
    from mnist1d_hf.publishing.repositories import Repository

DATASET_EXAMPLES = (
    "Examples: mnist1d-hf publish dataset --dry-run | mnist1d-hf publish dataset --repo-id me/mnist1d | "
    "mnist1d-hf publish dataset --repo-id org/mnist1d --create-pr"
)
MODELS_EXAMPLES = (
    "Examples: mnist1d-hf publish models --dry-run cnn | mnist1d-hf publish models --namespace me | "
    "mnist1d-hf publish models --namespace org cnn gru --collection MNIST-1D"
)

app = typer.Typer(
    rich_markup_mode=None,
    help="Put the dataset or the baselines on the Hugging Face Hub: stage, check, one commit, read back.",
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; without a token this is all.")]
Private = Annotated[bool, typer.Option("--private", help="Make new repositories private.")]
CreatePr = Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")]
Revision = Annotated[str, typer.Option(help="Branch; made from main where it is missing.")]
Tag = Annotated[
    str | None, typer.Option(help="Tag for the commit; this version by default, on main.", show_default=False)
]
NoTag = Annotated[bool, typer.Option("--no-tag", help="No tag.")]
Collection = Annotated[str | None, typer.Option(help="Title of a collection to add to.", show_default=False)]
Message = Annotated[str | None, typer.Option("--message", "-m", help="Of the commit.", show_default=False)]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Keep what is staged in this folder; an earlier one is replaced.", show_default=False
    ),
]


@app.command("dataset", epilog=DATASET_EXAMPLES)
def publish_dataset(
    repo_id: Annotated[str | None, typer.Option(help="NAMESPACE/mnist1d.", show_default=False)] = None,
    dry_run: DryRun = False,
    private: Private = False,
    create_pr: CreatePr = False,
    revision: Revision = "main",
    tag: Tag = None,
    no_tag: NoTag = False,
    collection: Collection = None,
    message: Message = None,
    output: Output = None,
) -> int:
    """Publish every configuration of the dataset as Parquet with a card."""
    from mnist1d_hf.publishing.repositories import NOBODY, dataset_repository

    options = _options(private, create_pr, revision, tag, no_tag, collection, message)
    return _run([dataset_repository(repo_id or f"{NOBODY}/mnist1d")], options, dry_run, output)


@app.command("models", epilog=MODELS_EXAMPLES)
def publish_models(
    names: Annotated[list[str] | None, typer.Argument(help="Baselines; all without it.", show_default=False)] = None,
    namespace: Annotated[str | None, typer.Option(help="User or organisation.", show_default=False)] = None,
    dataset_id: Annotated[
        str | None, typer.Option(help="Dataset that the cards name; NAMESPACE/mnist1d by default.", show_default=False)
    ] = None,
    dry_run: DryRun = False,
    private: Private = False,
    create_pr: CreatePr = False,
    revision: Revision = "main",
    tag: Tag = None,
    no_tag: NoTag = False,
    collection: Collection = None,
    message: Message = None,
    output: Output = None,
) -> int:
    """Publish baselines, each as NAMESPACE/mnist1d-NAME with weights, code and a card."""
    from mnist1d_hf.publishing.repositories import NOBODY, model_repositories

    options = _options(private, create_pr, revision, tag, no_tag, collection, message)
    return _run(model_repositories(namespace or NOBODY, names or [], dataset_id), options, dry_run, output)


def _options(
    private: bool,
    create_pr: bool,
    revision: str,
    tag: str | None,
    no_tag: bool,
    collection: str | None,
    message: str | None,
) -> Options:
    from mnist1d_hf.publishing.push import MAIN, Options

    if tag is not None and no_tag:
        raise InvalidValueError("tag: expected --tag or --no-tag, found both")
    if tag is None and not no_tag and not create_pr and revision == MAIN:
        tag = mnist1d_hf.__version__
    return Options(private, create_pr, revision, tag, collection, message or f"mnist1d_hf {mnist1d_hf.__version__}")


def _run(repositories: Sequence[Repository], options: Options, dry_run: bool, output: Path | None) -> int:
    """Stage and check all repositories, then publish those that are good. One that fails does not stop the others.

    Returns:
        The exit code: 2 if any failed.
    """
    from mnist1d_hf.publishing import push, staging
    from mnist1d_hf.publishing.retry import find_token

    _quiet()
    has_token = find_token() is not None
    if has_token and not dry_run and not repositories[0].has_place:
        raise InvalidValueError("where to: expected --repo-id (of models: --namespace), found none; or try --dry-run")
    outcomes = _Outcomes(repositories)
    folders: dict[Repository, Path] = {}
    with contextlib.ExitStack() as stack:
        root = output or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mnist1d-hf-")))

        def stage(repository: Repository) -> str:
            target = root / repository.name
            folders[repository] = staging.stage(repository, target, lambda step: _say(f"{repository.repo_id}: {step}"))
            _say(f"{repository.repo_id}: checks")
            staging.check(repository, folders[repository])
            return "staged"

        def show(repository: Repository) -> str:
            found, unknown = push.plan(repository, folders[repository], options, _say)
            _print_plan(repository, found, unknown)
            return "not published"

        def publish(repository: Repository) -> str:
            done = push.publish(repository, folders[repository], options, staging.check, _say)
            _print_published(done, options)
            return "published" if done.changed else "unchanged"

        outcomes.each(stage)
        outcomes.each(publish if has_token and not dry_run else show)
    if dry_run or not has_token:
        why = "a dry run" if dry_run else "no token; run `hf auth login` or set HF_TOKEN to publish"
        console.print(f"Nothing was published: {why}.", soft_wrap=True, highlight=False)
    return outcomes.show()


class _Outcomes:
    """What became of each repository."""

    def __init__(self, repositories: Sequence[Repository]) -> None:
        self._found = dict.fromkeys(repositories, "")
        self._failed: set[Repository] = set()

    def each(self, step: Callable[[Repository], str]) -> None:
        """Do a step for all that have not failed. A failure is told at once; that of an only one ends the command."""
        for repository in self._found:
            if repository in self._failed:
                continue
            try:
                self._found[repository] = step(repository)
            except (UserError, OSError) as error:
                if len(self._found) == 1:
                    raise
                self._failed.add(repository)
                self._found[repository] = " ".join(str(error).split())
                _say(f"{repository.repo_id}: FAILED: {self._found[repository]}")

    def show(self) -> int:
        """A table where there are several; the exit code."""
        if len(self._found) > 1:
            rows: list[tuple[str, ...]] = [
                (repository.repo_id, "FAILED" if repository in self._failed else "", outcome)
                for repository, outcome in self._found.items()
            ]
            print_table("Summary", ("repository", "", "outcome"), rows)
        return 2 if self._failed else 0


def _quiet() -> None:
    """No progress bars of the libraries."""
    import datasets
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    disable_progress_bars()
    datasets.disable_progress_bars()
    logging.disable_progress_bar()


def _say(line: str) -> None:
    messages.print(line, soft_wrap=True, highlight=False, markup=False)


def _print_plan(repository: Repository, plan: Plan, unknown: str | None) -> None:
    rows: list[tuple[str, ...]] = [
        (change.kind, change.path, _size(change.before), _size(change.size)) for change in plan.changes
    ]
    title = f"{repository.repo_type} {repository.repo_id}"
    print_table(title, ("", "file", "there, B", "here, B"), rows, right=(2, 3))
    if unknown:
        compared = f"what is there is unknown, so that every file is listed as new ({unknown})"
    elif plan.parent:
        compared = f"compared with commit {plan.parent[:10]}"
    else:
        compared = "there is no such repository yet, or it cannot be seen without its owner's token"
    console.print(f"{plan}; {compared}", soft_wrap=True, highlight=False, markup=False)


def _size(size: int | None) -> str:
    return "" if size is None else f"{size:,}"


def _print_published(done: Published, options: Options) -> None:
    what = "published" if done.changed else "unchanged"
    tag = f", tag {done.tag}" if done.tag else ""
    collection = f", collection {done.collection}" if done.collection else ""
    where = "" if options.revision == "main" else f", branch {options.revision}"
    console.print(
        f"{done.url}: {what}, commit {done.sha[:10]}{where}{tag}{collection}; read back and found right",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
