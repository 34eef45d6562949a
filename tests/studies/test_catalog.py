"""Every study of the package: it says what it is, its parts fit together, and recorded results follow from tables."""

import re
import sys

import pytest

from mnist1d_hf import cli, studies
from mnist1d_hf.studies import recorded
from mnist1d_hf.studies.catalog import all_studies, find_study
from mnist1d_hf.studies.claims import headline
from mnist1d_hf.studies.run import Job, checked_units
from mnist1d_hf.studies.study import Context

STUDIES = all_studies()
RECORDED = [name for name in STUDIES if recorded.recorded(name) is not None]


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_is(name):
    study = STUDIES[name]
    module = sys.modules[study.units.__module__]
    assert study.question.endswith("?")
    for word in ("Question:", "Source:", "Protocol:", "Expected:"):
        assert word in module.__doc__, word
    assert type(study.full) is type(study.quick)
    assert study.full.seeds >= 10
    for settings in (study.full, study.quick):
        assert all(unit.work > 0 for unit in checked_units(study, settings))


@pytest.mark.parametrize("name", STUDIES)
def test_every_kind_of_unit_gives_rows_and_counts_its_work(name):
    """The smallest unit of each function, with the quick settings."""
    study = STUDIES[name]
    smallest = {unit.function: unit for unit in sorted(study.units(study.quick), key=lambda unit: -unit.work)}
    columns = set()
    for unit in smallest.values():
        counted = []
        rows = unit.function(**unit.arguments, context=Context("cpu", counted.append))
        assert sum(counted) == unit.work
        assert {row["seed"] for row in rows} <= set(range(study.quick.seeds))
        columns |= {tuple(row) for row in rows}
    assert len(columns) == 1


@pytest.mark.long
@pytest.mark.parametrize("name", STUDIES)
def test_every_quick_run_goes_through(name, tmp_path):
    study = STUDIES[name]
    found = Job(study, study.quick, tmp_path / "out", num_proc=1).run()
    assert found.claims
    assert set(found.table["seed"]) == set(range(study.quick.seeds))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_claims_follow_from_the_table(name):
    study, kept = STUDIES[name], recorded.recorded(name)
    assert kept.manifest()["settings"] == study.full.to_dict()
    assert set(kept.cost()["seconds"]) == {unit.key for unit in study.units(study.full)}
    assert recorded.full_seconds(study) <= 60 * study.minutes
    table = kept.table()
    claims = study.claims(table)
    assert [claim.to_dict() for claim in claims] == kept.verdict()["claims"]
    assert headline(claims) == kept.verdict()["headline"]
    assert all(1 <= claim.n <= table["seed"].nunique() for claim in claims)


TINY = '''
"""Question: is it zero?  Source: nobody.  Protocol: none.  Expected: yes."""
from mnist1d_hf.studies.claims import claim_mean
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.frames import by_seed, grid
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Study, Unit


def rows(settings, context):
    context.report(1)
    return [{"seed": seed, "width": 1, "value": 0.0} for seed in range(settings.seeds)]


def figure(table):
    drawn, (axis,) = new_figure("tiny", 1)
    curve(axis, *grid(table, "value", "width"), "value")
    return drawn


STUDY = Study(
    name="tiny-one",
    question="Is it zero?",
    source="nobody",
    full=Settings(),
    quick=Settings(seeds=2),
    units=lambda settings: [Unit("all", rows, {"settings": settings}, 1)],
    figure=figure,
    claims=lambda table: [claim_mean("zero", "It is zero", by_seed(table, "value"), least=-1, most=1)],
    minutes=30,
)
'''


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A study without recorded results, added as one file."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "tiny_one.py").write_text(TINY)
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(tmp_path / "more")])
    yield
    sys.modules.pop("mnist1d_hf.studies.tiny_one", None)


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist1d-hf", "study", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    return run


@pytest.mark.usefixtures("tiny")
def test_a_study_is_added_as_one_file(command):
    assert set(all_studies()) == {*STUDIES, "tiny-one"}
    assert recorded.describe_cost(find_study("tiny-one"), find_study("tiny-one").full, [], 1).startswith("estimated")
    assert "**tiny-one.** No full run is recorded yet." in recorded.markdown()
    code, said = command("--list")
    assert code == 0
    assert re.search("tiny-one .*Is it zero", said.out)
    code, said = command("tiny-one", "--list")
    assert code == 0
    assert "estimated: 30 min of one core" in said.out
    code, said = command("tiny-one", "--verdict")
    assert code == 2
    assert "tiny-one: no full run is recorded" in said.err
    code, said = command("tiny-one", "--quick", "--num-proc", "1", "-o", "out")
    assert code == 0, said.err
    assert "It is zero: reproduced, 0.00 (0.00 to 0.00)." in said.out
