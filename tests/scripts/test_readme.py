"""The sections of README.md that scripts renew."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "readme.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("readme", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_what_stands_between_the_marks_changes(script, tmp_path):
    path = tmp_path / "README.md"
    path.write_text("before <b>\nold\n<e> after <e>\n")
    script.put_section("<b>", "<e>", r"new \1", path)
    assert path.read_text() == "before <b>\nnew \\1\n<e> after <e>\n"


@pytest.mark.parametrize("text", ["nothing", "<b> only", "<e> before <b>"])
def test_a_missing_mark_costs_nothing(script, text, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(script.UserError, match=r"README\.md: expected <b> and <e> after it, found one or none"):
        script.put_section("<b>", "<e>", "new", path)
    assert path.read_text() == text
