"""The YAML at the head of a card (README.md), and what the Hub finds wrong with it."""

from __future__ import annotations

import re
from typing import Any

_HEAD = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_LICENSES = {
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigcode-openrail-m"),
    *("openrail++", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "c-uda", "cc"),
    *("bsd-3-clause-clear", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"),
    *("cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0"),
    *("cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2"),
    *("agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl"),
    *("mpl-2.0", "odc-by", "odbl", "openrail", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl"),
    *("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "gemma", "unknown", "other"),
}
_SIZES = {
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"),
    *("10B<n<100B", "100B<n<1T", "n>1T"),
}
_LISTS = ("tags", "task_categories", "task_ids", "configs", "model-index")  # never a single value
_TEXTS = ("pretty_name", "pipeline_tag", "library_name", "license_name")


class CardError(ValueError):
    """The head of a card cannot be read."""


def card_head(text: str) -> dict[str, Any] | None:
    """The YAML at the head of a card; None where there is none.

    Raises:
        CardError: not YAML, not a mapping, or a key is there twice.

    >>> card_head("---\\nlicense: mit\\n---\\n# Title")
    {'license': 'mit'}
    """
    found = _HEAD.search(text)
    if found is None or not found.group(1).strip():
        return None
    import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub; all else is in the standard library

    class Loader(yaml.SafeLoader):
        """PyYAML keeps the last of two equal keys, the Hub refuses them."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for key in keys:
                if keys.count(key) > 1:
                    raise CardError(f"duplicated mapping key: {key}")
            return super().construct_mapping(node, deep)

    try:
        head = yaml.load(found.group(1), Loader)
    except yaml.YAMLError as error:
        raise CardError(f"YAML parsing error: {error}") from None
    if not isinstance(head, dict):
        raise CardError("YAML metadata: expected a mapping")
    return head


def check_card(text: str, kind: str) -> tuple[list[str], list[str]]:
    """What is wrong with a card: errors, for which the Hub refuses it, and warnings."""
    try:
        head = card_head(text)
    except CardError as error:
        return [str(error)], []
    if head is None:
        return [], ["empty or missing yaml metadata in repo card"]
    errors = [f'"{key}" must be an array' for key in _LISTS if key in head and not isinstance(head[key], list)]
    errors += [f'"{key}" must be a string' for key in _TEXTS if key in head and not isinstance(head[key], str)]
    errors += _choices(head, "license", _LICENSES) + _languages(head)
    if kind == "dataset":
        errors += _choices(head, "size_categories", _SIZES) + _configs(head)
    else:
        errors += _results(head)
    return errors, []


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _choices(head: dict[str, Any], key: str, legal: set[str]) -> list[str]:
    wrong = [item for item in _as_list(head.get(key)) if item not in legal]
    return [f'"{key}" must be one of [{", ".join(sorted(legal))}], found {wrong[0]!r}'] if wrong else []


def _languages(head: dict[str, Any]) -> list[str]:
    for item in _as_list(head.get("language")):
        if not isinstance(item, str) or not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]+)?|code|multilingual", item):
            return [f'"language" must only contain ISO 639 codes, found {item!r}']
    return []


def _configs(head: dict[str, Any]) -> list[str]:
    configs = [item for item in _as_list(head.get("configs")) if isinstance(item, dict)]
    names = [item.get("config_name") for item in configs]
    errors = [
        f'"configs[{i}].config_name" must be a string' for i, name in enumerate(names) if not isinstance(name, str)
    ]
    errors += [f'"configs": {name} is there twice' for name in dict.fromkeys(map(str, names)) if names.count(name) > 1]
    if sum(bool(item.get("default")) for item in configs) > 1:
        errors.append('"configs": more than one default')
    return errors + [
        f'"configs[{i}]" must be an object' for i in range(len(_as_list(head.get("configs"))) - len(configs))
    ]


def _results(head: dict[str, Any]) -> list[str]:
    errors = []
    for i, model in enumerate(_as_list(head.get("model-index"))):
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            return [f'"model-index[{i}].name" is required']
        for j, result in enumerate(_as_list(model.get("results"))):
            place = f"model-index[{i}].results[{j}]"
            for path in ("task.type", "dataset.type", "dataset.name"):
                group, key = path.split(".")
                if not isinstance((result.get(group) or {}).get(key), str):
                    errors.append(f'"{place}.{path}" is required')
            for k, metric in enumerate(_as_list(result.get("metrics")) or [{}]):
                missing = [key for key in ("type", "value") if metric.get(key) is None]
                errors += [f'"{place}.metrics[{k}].{key}" is required' for key in missing]
    return errors
