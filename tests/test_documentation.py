"""Examples in docstrings and READMEs run, generated tables are up to date, links lead somewhere, rooms keep apart."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import mnist1d_hf
from mnist1d_hf.data import describe
from mnist1d_hf.studies import bayes_error, recorded, spatial_prior
from mnist1d_hf.training import tables

MODULES = ["mnist1d_hf", *(item.name for item in pkgutil.walk_packages(mnist1d_hf.__path__, "mnist1d_hf."))]
ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = {"jax", "lightning", "polars", "tensorflow"}  # large: their snippets run where they are installed
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


def test_public_functions_have_an_example_that_runs():
    finder = doctest.DocTestFinder()
    for name in mnist1d_hf.__all__:
        if name != "__version__":
            public = getattr(mnist1d_hf, name)
            assert public.__doc__, name
            assert any(test.examples for test in finder.find(public)), name


def readmes():
    """README.md, those of the rooms, and that of the scripts."""
    return [ROOT / "README.md", *sorted((ROOT / "mnist1d_hf").glob("*/README.md")), *ROOT.glob("scripts/README.md")]


def snippets(text):
    """Blocks of Python, and what stands in code under "you write" in tables, from top to bottom."""
    table = r"^\| you want \| you write \|\n\|---\|---\|\n(?P<rows>(?:\|[^\n]*\n)+)"
    found = re.finditer(rf"```python\n(?P<block>.*?)```|{table}", text, flags=re.DOTALL | re.MULTILINE)
    for match in found:
        if match["block"]:
            yield match["block"]
        else:
            for row in match["rows"].splitlines():
                yield from re.findall("`([^`]+)`", row.split(" | ")[1])


@pytest.mark.parametrize("path", readmes(), ids=lambda path: str(path.relative_to(ROOT)))
def test_readme_snippets_run(path, subtests, run):
    names = {"__name__": "readme"}  # the later snippets continue where the earlier ones ended
    for snippet in snippets(path.read_text()):
        with subtests.test(snippet.partition("\n")[0]):
            for library in OPTIONAL.intersection(re.findall(r"^(?:from|import) (\w+)", snippet, flags=re.MULTILINE)):
                if importlib.util.find_spec(library) is None:
                    pytest.skip(f"{library} is not installed")
            if snippet.startswith("mnist1d-hf "):
                assert run(*shlex.split(snippet)[1:])[0] == 0
            else:
                exec(compile(snippet, str(path), "exec"), names)


@pytest.mark.parametrize("path", readmes(), ids=lambda path: str(path.relative_to(ROOT)))
def test_readme_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize(
    ("path", "make"),
    [
        ("README.md", tables.short_markdown),
        ("mnist1d_hf/training/README.md", tables.markdown),
        ("mnist1d_hf/training/README.md", spatial_prior.markdown),
        ("mnist1d_hf/data/README.md", describe.markdown),
        ("mnist1d_hf/data/README.md", bayes_error.markdown),
        ("mnist1d_hf/studies/README.md", recorded.markdown),
    ],
)
def test_generated_tables_are_up_to_date(path, make):
    assert make() in (ROOT / path).read_text()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) < 10_000


def test_changelog_names_the_version():
    assert f"## {mnist1d_hf.__version__}" in (ROOT / "CHANGELOG.md").read_text()


LIBRARIES = ("torch", "transformers", "matplotlib")
TOP = ("mnist1d_hf.publishing", "mnist1d_hf.studies", "mnist1d_hf.playground", "mnist1d_hf.cli")
MIDDLE = ("mnist1d_hf.training", "mnist1d_hf.export", "mnist1d_hf.plots")
ROOMS = {  # what the modules of each may not import when they are loaded
    "*.py": (*LIBRARIES, "mnist1d_hf.models", "mnist1d_hf.training", "mnist1d_hf.export", *TOP),
    "data/*.py": (*LIBRARIES, "mnist1d_hf.models", *MIDDLE, *TOP),
    "models/*.py": ("mnist1d_hf.data", *MIDDLE, *TOP),
    "export/*.py": (*LIBRARIES, "mnist1d_hf.models", "mnist1d_hf.training", "mnist1d_hf.plots", *TOP),
    "training/*.py": ("mnist1d_hf.export", "mnist1d_hf.plots", *TOP),
    "studies/*.py": ("mnist1d_hf.publishing", "mnist1d_hf.cli", "typer", "rich"),
    "publishing/*.py": ("mnist1d_hf.cli", "typer", "rich"),
    "playground/*.py": (*LIBRARIES, "mnist1d_hf.publishing", "mnist1d_hf.cli", "typer", "rich"),
    "cli/*.py": (*LIBRARIES, "mnist1d_hf.models", "mnist1d_hf.training", *TOP[:-1]),
}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room):
    """Data and models are roots; export and training stand on them, studies and publishing on these, cli on all."""
    paths = [path for path in (ROOT / "mnist1d_hf").glob(room) if path.name != "plots.py"]
    assert len(paths) > 2
    for path in paths:
        imported = re.findall(r"^(?:from|import) ([\w.]+)", path.read_text(), flags=re.MULTILINE)
        wrong = [name for name in imported for prefix in ROOMS[room] if f"{name}.".startswith(f"{prefix}.")]
        assert not wrong, path
