"""What there is to publish, the dataset and the baselines: each staged, checked, planned and published the same way."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mnist1d_hf.errors import HubError, InvalidValueError
from mnist1d_hf.publishing import planning, retrying
from mnist1d_hf.publishing.checking import CheckError
from mnist1d_hf.publishing.hub import Options, Published, plan_folder, publish_folder
from mnist1d_hf.publishing.layout import CARD, check_repo_id, evaluated_on
from mnist1d_hf.publishing.planning import Plan
from mnist1d_hf.publishing.snippets import Trial, failing_snippets

NOBODY = "NAMESPACE"  # where a dry run would publish that was told no place

Report = Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class Item:
    """A repository to be.

    Attributes:
        repo_id, repo_type: "NAMESPACE/NAME"; "dataset" or "model".
        stage: fills a folder for it, and reports its steps.
        check: raises if such a folder is no good.
        places: which folder stands for which name on the Hub when the snippets of its card are run: called with the
            staged folder, and with one that all items may put data into.
    """

    repo_id: str
    repo_type: str
    stage: Callable[[Path, Report], object]
    check: Callable[[Path], object]
    places: Callable[[Path, Path], dict[str, Path]]


def dataset_item(repo_id: str) -> Item:
    """The dataset with every configuration.

    Raises:
        InvalidValueError: a bad name.
    """
    from mnist1d_hf.publishing.check_dataset import check_dataset
    from mnist1d_hf.publishing.staging import stage_dataset

    check_repo_id(repo_id)
    return Item(
        repo_id,
        "dataset",
        lambda folder, report: stage_dataset(folder, repo_id, report),
        check_dataset,
        lambda folder, _: {repo_id: folder},
    )


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
    from mnist1d_hf.models import catalog
    from mnist1d_hf.publishing.check_model import check_model
    from mnist1d_hf.publishing.staging import stage_data, stage_model

    def places(folder: Path, data: Path) -> dict[str, Path]:
        configuration = evaluated_on(catalog.results(name)["data"]["configuration"])
        if not (data / configuration).exists():
            stage_data(data / configuration, configuration)
        return {repo_id: folder, dataset_id: data / configuration}

    return Item(
        repo_id,
        "model",
        lambda folder, report: stage_model(name, folder, repo_id, dataset_id, report),
        check_model,
        places,
    )


@contextlib.contextmanager
def staged(items: Sequence[Item], output: Path | None = None, report: Report = print) -> Iterator[dict[str, Path]]:
    """The folders of all items, staged and checked, by repository; gone afterwards unless `output` keeps them.

    Nothing is published before all of them are good.

    Args:
        items: what to stage.
        output: the folder to stage in; folders of an earlier run are replaced, anything else is refused.
        report: takes a line for each step.

    Raises:
        OutputError: a folder is no good, or cannot be written.
        OSError: no room, or no permission to write.
    """
    with contextlib.ExitStack() as stack:
        root = output or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mnist1d-hf-")))
        folders = {item.repo_id: root / item.repo_id.partition("/")[2] for item in items}
        for item in items:
            item.stage(folders[item.repo_id], _about(item, report))
            _about(item, report)("checks")
            item.check(folders[item.repo_id])
        report("snippets of the cards")
        check_snippets(items, folders)
        yield folders


def _about(item: Item, report: Report) -> Report:
    return lambda step: report(f"{item.repo_id}: {step}")


def check_snippets(items: Sequence[Item], folders: Mapping[str, Path]) -> None:
    """Run the snippets of the cards, with the staged folders in place of the repositories.

    Raises:
        OutputError: (CheckError) which snippets fail, of all cards.
    """
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as data:
        trials = []
        for item in items:
            folder = folders[item.repo_id]
            trials.append(Trial((folder / CARD).read_text(encoding="utf-8"), item.places(folder, Path(data))))
        for item, problems in zip(items, failing_snippets(trials), strict=True):
            if problems:
                raise CheckError(folders[item.repo_id], [f"{CARD}: {what}" for what in problems])


def plan_item(item: Item, folder: Path, options: Options, report: Report = print) -> tuple[Plan, str | None]:
    """What publishing would change, and why it is not known what is on the Hub, if it is not.

    Raises:
        HubError: the Hub refuses.
    """
    options = dataclasses.replace(options, patience=dataclasses.replace(options.patience, attempts=1))
    why = "no repository was named"
    if not item.repo_id.startswith(f"{NOBODY}/"):
        try:
            return plan_folder(folder, item.repo_id, item.repo_type, options, merge_card=_merge(), report=report), None
        except HubError as error:
            if not retrying.is_out_of_reach(error):
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
