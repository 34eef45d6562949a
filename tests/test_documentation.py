"""Every example in a docstring and in README.md runs, and what README.md lists is what the code says."""

import doctest
import importlib
import pkgutil
import re

import pytest

import mnist1d_hf
from mnist1d_hf.data import describe

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


def test_readme_tables_are_those_of_the_code(repository):
    assert describe.markdown() in (repository / "README.md").read_text()


def test_readme_links_lead_somewhere(repository):
    text = (repository / "README.md").read_text()
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (repository / target).exists(), target


def test_changelog_names_the_version(repository):
    assert f"## {mnist1d_hf.__version__}" in (repository / "CHANGELOG.md").read_text()


def test_data_imports_nothing_above_it(repository):
    """Imports run one way: the data room knows neither models nor torch, nor anything that stands on it."""
    for path in (repository / "mnist1d_hf" / "data").glob("*.py"):
        imported = re.findall(r"^(?:from|import) ([\w.]+)", path.read_text(), flags=re.MULTILINE)
        assert not [name for name in imported if name.split(".")[0] in ("torch", "transformers", "matplotlib")], path
        for name in imported:
            assert not name.startswith("mnist1d_hf") or name.startswith(("mnist1d_hf.data", "mnist1d_hf.errors")), path
