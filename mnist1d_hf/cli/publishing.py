"""`mnist1d-hf publish`: arguments, plans, what became of each repository. What needs torch is imported when used."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import mnist1d_hf
from mnist1d_hf.cli.terminal import console, messages, print_table
from mnist1d_hf.errors import InvalidValueError, UserError

if TYPE_CHECKING:
    from mnist1d_hf.publishing.push import Plan, Published
    from mnist1d_hf.publishing.repositories import Repository

DATASET_EXAMPLES = (
    "Examples: mnist1d-hf publish dataset --dry-run | mnist1d-hf publish dataset --repo-id me/mnist1d | "
    "mnist1d-hf publish dataset --repo-id org/mnist1d --create-pr"
)
MODELS_EXAMPLES = (
    "Examples: mnist1d-hf publish models --dry-run cnn | mnist1d-hf publish models --namespace me | "
    "mnist1d-hf publish models --namespace org cnn gru --collection MNIST-1D"
)

SPACE_EXAMPLES = (
    "Examples: mnist1d-hf publish space --dry-run | mnist1d-hf publish space --repo-id me/mnist1d-playground"
)

app = typer.Typer(
    rich_markup_mode=None,
    help="Put the dataset, the baselines or the playground on the Hugging Face Hub: stage, check, commit, read back.",
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
MESSAGE = f"mnist1d_hf {mnist1d_hf.__version__}"
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

    options = {"private": private, "create_pr": create_pr, "collection": collection, "message": message or MESSAGE}
    repositories = [dataset_repository(repo_id or f"{NOBODY}/mnist1d")]
    return _run(repositories, dry_run, output, revision, tag, no_tag, options)


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

    options = {"private": private, "create_pr": create_pr, "collection": collection, "message": message or MESSAGE}
    repositories = model_repositories(namespace or NOBODY, names or [], dataset_id)
    return _run(repositories, dry_run, output, revision, tag, no_tag, options)


@app.command("space", epilog=SPACE_EXAMPLES)
def publish_space(
    repo_id: Annotated[str | None, typer.Option(help="NAMESPACE/mnist1d-playground.", show_default=False)] = None,
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
    """Publish the playground, a static page, as a Space."""
    from mnist1d_hf.publishing.repositories import NOBODY, PLAYGROUND, space_repository

    options = {"private": private, "create_pr": create_pr, "collection": collection, "message": message or MESSAGE}
    repositories = [space_repository(repo_id or f"{NOBODY}/{PLAYGROUND}")]
    return _run(repositories, dry_run, output, revision, tag, no_tag, options)


def _run(
    repositories: Sequence[Repository],
    dry_run: bool,
    output: Path | None,
    revision: str,
    tag: str | None,
    no_tag: bool,
    options: dict[str, Any],
) -> int:
    """Stage and check all repositories, then publish those that are good. One that fails does not stop the others.

    Returns:
        The exit code: 2 if any failed.
    """
    from mnist1d_hf.publishing import push, staging
    from mnist1d_hf.publishing.hub import find_token

    if tag is not None and no_tag:
        raise InvalidValueError("tag: expected --tag or --no-tag, found both")
    if tag is None and not no_tag and not options["create_pr"] and revision == push.MAIN:
        tag = mnist1d_hf.__version__
    chosen = push.Options(revision=revision, tag=tag, **options)
    _quiet()
    has_token = find_token() is not None
    if has_token and not dry_run and not repositories[0].has_place:
        raise InvalidValueError("where to: expected --repo-id (of models: --namespace), found none; or try --dry-run")
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as temporary:
        root = (output or Path(temporary)).expanduser().absolute()

        def stage(repository: Repository) -> str:
            folder = root / repository.name
            staging.stage(repository, folder, lambda step: _say(f"{repository.repo_id}: {step}"))
            _say(f"{repository.repo_id}: checks")
            staging.check(repository, folder)
            return "staged"

        def show(repository: Repository) -> str:
            _print_plan(repository, push.plan(repository, root / repository.name, chosen, _say))
            return "not published"

        def publish(repository: Repository) -> str:
            done = push.publish(repository, root / repository.name, chosen, staging.check, _say)
            _print_published(done, revision)
            return "published" if done.changed else "unchanged"

        publishes = has_token and not dry_run
        outcomes = _each(repositories, [stage, publish if publishes else show])
    if not publishes:
        why = "a dry run" if dry_run else "no token; run `hf auth login` or set HF_TOKEN to publish"
        _print(f"Nothing was published: {why}.")
    if len(repositories) > 1:
        rows: list[tuple[str, ...]] = [(name, *outcome) for name, outcome in outcomes.items()]
        print_table("Summary", ("repository", "", "outcome"), rows)
    return 2 if any(failed for failed, _ in outcomes.values()) else 0


def _each(
    repositories: Sequence[Repository], steps: Sequence[Callable[[Repository], str]]
) -> dict[str, tuple[str, str]]:
    """Do each step for all repositories that have not failed. What became of each: "FAILED" or "", and the outcome.

    A failure is told at once; that of an only repository ends the command.
    """
    outcomes = {repository.repo_id: ("", "") for repository in repositories}
    for step in steps:
        for repository in repositories:
            name = repository.repo_id
            if outcomes[name][0]:
                continue
            try:
                outcomes[name] = ("", step(repository))
            except (UserError, OSError) as error:
                if len(repositories) == 1:
                    raise
                outcomes[name] = ("FAILED", " ".join(str(error).split()))
                _say(f"{name}: FAILED: {outcomes[name][1]}")
    return outcomes


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


def _print(line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _print_plan(repository: Repository, plan: Plan) -> None:
    rows: list[tuple[str, ...]] = [
        (change.kind, change.path, *("" if size is None else f"{size:,}" for size in (change.before, change.size)))
        for change in plan.changes
    ]
    title = f"{repository.repo_type} {repository.repo_id}"
    print_table(title, ("", "file", "there, B", "here, B"), rows, right=(2, 3))
    _print(f"{plan}; {plan.compared}")


def _print_published(done: Published, revision: str) -> None:
    what = "published" if done.changed else "unchanged"
    tag = f", tag {done.tag}" if done.tag else ""
    collection = f", collection {done.collection}" if done.collection else ""
    where = "" if revision == "main" else f", branch {revision}"
    _print(f"{done.url}: {what}, commit {done.sha[:10]}{where}{tag}{collection}; read back and found right")
