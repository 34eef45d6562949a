"""Every study of the package: it says what it is, its parts fit together, and recorded results follow from tables."""

import sys

import pytest

from mnist1d_hf.studies import recorded
from mnist1d_hf.studies.run import TABLE, Job, checked_units, verdict
from mnist1d_hf.studies.study import Context, all_studies

STUDIES = all_studies()
RECORDED = [name for name in STUDIES if recorded.recorded(name) is not None]


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_is(name):
    study = STUDIES[name]
    module = sys.modules[study.units.__module__]
    assert study.question.endswith("?")
    for word in ("Question:", "Source:", "Protocol:", "Expected:"):
        assert word in module.__doc__, word
    assert study.deviations
    assert type(study.full) is type(study.quick)
    assert study.full.seeds >= 5
    for settings in (study.full, study.quick):
        assert all(unit.work > 0 for unit in checked_units(study, settings))


@pytest.mark.parametrize("name", STUDIES)
def test_every_kind_of_unit_gives_rows_and_counts_its_work(name):
    """The smallest unit of each kind, the first word of its key, with the quick settings."""
    study = STUDIES[name]
    units = sorted(study.units(study.quick), key=lambda unit: -unit.work)
    smallest = {unit.key.partition("-")[0]: unit for unit in units}
    columns = set()
    for unit in smallest.values():
        counted = []
        rows = unit.function(study.quick, context=Context("cpu", counted.append), **unit.arguments)
        assert sum(counted) == unit.work
        assert {row["seed"] for row in rows} <= set(range(study.quick.seeds))
        columns |= {tuple(row) for row in rows}
    assert len(columns) == 1


@pytest.mark.long
@pytest.mark.parametrize("name", STUDIES)
def test_every_quick_run_goes_through(name, tmp_path):
    study = STUDIES[name]
    table = Job(study, study.quick, tmp_path / "out", num_proc=1).run()
    assert study.claims(table) or study.findings(table)
    assert set(table["seed"]) == set(range(study.quick.seeds))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_claims_follow_from_the_table(name):
    study, kept = STUDIES[name], recorded.recorded(name)
    assert kept.manifest()["settings"] == study.full.to_dict()
    assert set(kept.cost()["seconds"]) == {unit.key for unit in study.units(study.full)}
    assert recorded.full_seconds(study) <= 60 * study.minutes
    table = kept.table()
    assert verdict(study, table, kept.store.read(TABLE)) == kept.verdict()
    assert all(1 <= one.n <= table["seed"].nunique() for one in (*study.claims(table), *study.findings(table)))
