"""Every example in a docstring and in README.md runs, and what README.md lists is what the code says."""

import doctest
import importlib
import pkgutil
import re

import pytest

import mnist1d_hf
from mnist1d_hf.data import describe
from mnist1d_hf.studies import recorded
from mnist1d_hf.training import tables

MODULES = ["mnist1d_hf", *(item.name for item in pkgutil.walk_packages(mnist1d_hf.__path__, "mnist1d_hf."))]
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


def test_readme_snippets(repository):
    text = (repository / "README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(snippets) >= 3
    names = {"__name__": "readme"}  # the later snippets go on where the earlier ones ended
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)


def test_readme_table_of_baselines_is_that_of_the_results(repository):
    assert tables.markdown() in (repository / "README.md").read_text()


def test_readme_tables_are_those_of_the_code(repository):
    assert describe.markdown() in (repository / "README.md").read_text()


def test_readme_section_of_the_studies_is_that_of_the_results(repository):
    assert recorded.markdown() in (repository / "README.md").read_text()


def test_readme_links_lead_somewhere(repository):
    text = (repository / "README.md").read_text()
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (repository / target).exists(), target


def test_changelog_names_the_version(repository):
    assert f"## {mnist1d_hf.__version__}" in (repository / "CHANGELOG.md").read_text()


LIBRARIES = ("torch", "transformers", "matplotlib")
TOP = ("mnist1d_hf.publishing", "mnist1d_hf.studies", "mnist1d_hf.cli")
ROOMS = {  # what each may not import
    "data": (*LIBRARIES, "mnist1d_hf.models", "mnist1d_hf.training", "mnist1d_hf.export", *TOP),
    "models": ("mnist1d_hf.data", "mnist1d_hf.training", "mnist1d_hf.export", *TOP),
    "export": (*LIBRARIES, "mnist1d_hf.models", "mnist1d_hf.training", *TOP),
    "training": ("mnist1d_hf.export", "mnist1d_hf.plots", *TOP),
    "studies": ("mnist1d_hf.publishing", "mnist1d_hf.cli", "typer", "rich"),
    "publishing": (*LIBRARIES, "mnist1d_hf.models", "mnist1d_hf.plots", "mnist1d_hf.cli"),  # at import: all light
}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(repository, room):
    """Data and models are roots; export and training stand on them, publishing on these, the command line on all."""
    paths = list((repository / "mnist1d_hf" / room).glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        imported = re.findall(r"^(?:from|import) ([\w.]+)", path.read_text(), flags=re.MULTILINE)
        wrong = [name for name in imported for prefix in ROOMS[room] if f"{name}.".startswith(f"{prefix}.")]
        assert not wrong, path
