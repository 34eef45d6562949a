"""Measured data in, the text of a card out. No network, no torch, and no number that is typed by hand."""

from __future__ import annotations

import importlib.resources
from typing import Any

import jinja2
import yaml
from huggingface_hub import CardData
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.publishing import dataset_text, model_text
from mnist1d_hf.publishing.facts import DatasetFacts, ModelFacts
from mnist1d_hf.publishing.layout import CARD

# Keys that are ours even where a card does not have them: what they say on the Hub is never kept.
_OURS = ("configs", "dataset_info", "model-index", "citation")


def dataset_card(facts: DatasetFacts) -> str:
    """README.md of the dataset's repository."""
    return _card(dataset_text.metadata(facts), "dataset.md", dataset_text.values(facts))


def model_card(facts: ModelFacts) -> str:
    """README.md of a baseline's repository."""
    return _card(model_text.metadata(facts), "model.md", model_text.values(facts))


def _card(metadata: CardData, template: str, values: dict[str, Any]) -> str:
    # StrictUndefined: a name that nobody measured is an error, not an empty place in the text.
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    text = importlib.resources.files("mnist1d_hf.publishing").joinpath("templates", template).read_text("utf-8")
    return f"---\n{yaml_text(metadata.to_dict())}---\n\n{environment.from_string(text).render(values)}"


def yaml_text(values: Any) -> str:
    """YAML in the order given, texts of several lines as they are.

    >>> print(yaml_text({"b": "one\\ntwo\\n", "a": 1}))
    b: |
      one
      two
    a: 1
    <BLANKLINE>
    """
    return yaml.dump(values, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=1000)


class _Readable(yaml.SafeDumper):
    """Texts of several lines in literal style, and no anchors for what stands twice."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    def ignore_aliases(self, _: Any) -> bool:
        return True


_Readable.add_representer(str, _Readable.represent_str)


def read_card(text: str, where: str = CARD) -> tuple[dict[str, Any], str]:
    """The metadata and the body of a card; without a YAML block the metadata are empty.

    Raises:
        InvalidValueError: the YAML does not parse, has a key twice, or is not a mapping.

    >>> read_card("---\\nlicense: mit\\n---\\n# Title\\n")
    ({'license': 'mit'}, '# Title\\n')
    """
    found = REGEX_YAML_BLOCK.search(text.removeprefix("\ufeff"))
    if found is None:
        return {}, text
    try:
        metadata = yaml.load(found.group(2), Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise InvalidValueError(f"{where}: expected YAML at the top, found what does not parse: {what}") from None
    if not isinstance(metadata or {}, dict):
        raise InvalidValueError(f"{where}: expected keys and values in the YAML, found {type(metadata).__name__}")
    return dict(metadata or {}), text.removeprefix("\ufeff")[found.end() :]


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def merge_card(ours: str, theirs: str | None) -> str:
    """Our card with the YAML keys that somebody added on the Hub by hand; where both have a key, ours is taken.

    Args:
        ours: the card that was just made; its body is kept as it is.
        theirs: the card on the Hub; None where there is none.

    Raises:
        InvalidValueError: the YAML of their card does not parse; mend it on the Hub first, or nothing of it is lost.

    >>> print(merge_card("---\\nlicense: mit\\n---\\nNew.\\n", "---\\nlicense: gpl\\nviewer: false\\n---\\nOld.\\n"))
    ---
    license: mit
    viewer: false
    ---
    New.
    <BLANKLINE>
    """
    kept = {} if theirs is None else foreign_keys(ours, theirs)
    if not kept:
        return ours
    metadata, body = read_card(ours)
    return f"---\n{yaml_text({**metadata, **kept})}---\n{body}"


def foreign_keys(ours: str, theirs: str) -> dict[str, Any]:
    """The metadata that only their card has, and that no publish writes.

    >>> foreign_keys("---\\nlicense: mit\\n---\\n", "---\\nviewer: false\\nconfigs: []\\n---\\n")
    {'viewer': False}
    """
    known = {*read_card(ours)[0], *_OURS}
    return {key: value for key, value in read_card(theirs, f"{CARD} on the Hub")[0].items() if key not in known}
