"""What there is to publish, the dataset and the baselines: each staged, checked, planned and published the same way."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mnist1d_hf.errors import HubError, InvalidValueError, OutputError
from mnist1d_hf.publishing import planning, retrying
from mnist1d_hf.publishing.hub import Options, Published, plan_folder, publish_folder
from mnist1d_hf.publishing.planning import Plan
from mnist1d_hf.publishing.remote import check_repo_id

NOBODY = "NAMESPACE"  # where a dry run would publish that was told no place

Report = Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class Item:
    """A repository to be: `stage` fills an empty folder for it, `check` raises if such a folder is no good."""

    repo_id: str
    repo_type: str
    stage: Callable[[Path], object]
    check: Callable[[Path], object]


def dataset_item(repo_id: str) -> Item:
    """The dataset with every configuration.

    Raises:
        InvalidValueError: a bad name.
    """
    from mnist1d_hf.publishing.checking import check_dataset
    from mnist1d_hf.publishing.staging import stage_dataset

    check_repo_id(repo_id)
    return Item(repo_id, "dataset", lambda folder: stage_dataset(folder, repo_id), check_dataset)


def model_items(namespace: str, names: Iterable[str] = (), dataset_id: str | None = None) -> list[Item]:
    """The baselines of these names, all without names, as NAMESPACE/mnist1d-NAME.

    Args:
        namespace: a user or an organisation.
        names: see `mnist1d_hf.list_pretrained`.
        dataset_id: what their cards name as their data; NAMESPACE/mnist1d by default.

    Raises:
        InvalidValueError: no such baseline, or a bad name.
    """
    from mnist1d_hf.models.catalog import folder_of, list_pretrained

    dataset_id = check_repo_id(dataset_id or f"{namespace}/mnist1d")
    chosen = list(dict.fromkeys(names)) or [entry.name for entry in list_pretrained()]
    for name in chosen:
        folder_of(name)
    return [_model_item(name, check_repo_id(f"{namespace}/mnist1d-{name}"), dataset_id) for name in chosen]


def _model_item(name: str, repo_id: str, dataset_id: str) -> Item:
    from mnist1d_hf.publishing.checking import check_model
    from mnist1d_hf.publishing.staging import stage_model

    return Item(repo_id, "model", lambda folder: stage_model(name, folder, repo_id, dataset_id), check_model)


@contextlib.contextmanager
def staged(items: Iterable[Item], output: Path | None = None, report: Report = print) -> Iterator[dict[str, Path]]:
    """The folders of all items, staged and checked, by repository; gone afterwards unless `output` keeps them.

    Nothing is published before all of them are good.

    Raises:
        OutputError: `output` is not empty, or a folder is no good.
        OSError: no room, or no permission to write.
    """
    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output}: expected an empty folder to stage in, or none; choose another")
    with contextlib.ExitStack() as stack:
        root = output or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mnist1d-hf-")))
        folders = {}
        for item in items:
            folder = root / item.repo_id.partition("/")[2]
            report(f"{item.repo_id}: staging and checking")
            item.stage(folder)
            item.check(folder)
            folders[item.repo_id] = folder
        yield folders


def plan_item(item: Item, folder: Path, options: Options, report: Report = print) -> tuple[Plan, str | None]:
    """What publishing would change, and why the Hub was not asked, if it could not be.

    Raises:
        HubError: the Hub refuses.
    """
    options = dataclasses.replace(options, patience=dataclasses.replace(options.patience, attempts=1))
    why = "no repository was named"
    if not item.repo_id.startswith(f"{NOBODY}/"):
        try:
            return plan_folder(folder, item.repo_id, item.repo_type, options, merge_card=_merge(), report=report), None
        except HubError as error:
            if retrying.status_of(error) is not None or error.__cause__ is None:
                raise
            why = str(error)
    return planning.plan(item.repo_id, item.repo_type, None, planning.read_folder(folder), {}, {}), why


def publish_item(item: Item, folder: Path, options: Options, report: Report = print) -> Published:
    """Publish a staged folder; see `publish_folder`."""
    if item.repo_id.startswith(f"{NOBODY}/"):
        raise InvalidValueError("repo id: expected the repository to publish to, found none; see --help")
    return publish_folder(
        folder,
        item.repo_id,
        item.repo_type,
        options,
        merge_card=_merge(),
        check_back=item.check,
        report=report,
    )


def _merge() -> Callable[[str, str], str]:
    from mnist1d_hf.publishing.cards import merge_card

    return merge_card
