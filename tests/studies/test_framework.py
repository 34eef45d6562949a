"""The frame of all studies: interrupted ones go on, nothing is mixed, damage is named, verdicts follow from tables."""

import dataclasses
import json
import sys
import time

import numpy as np
import pytest
from mnist1d_hf.studies.table import Table

from mnist1d_hf.studies import recorded
from mnist1d_hf.studies.catalog import STUDIES, find_study
from mnist1d_hf.studies.claims import compare, headline
from mnist1d_hf.studies.run import Job, Output, checked_units
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Study, Unit


@dataclasses.dataclass(frozen=True)
class ToySettings(Settings):
    slopes: tuple[int, ...] = (1, 2, 3)
    scale: float = 1.0
    kind: str = choice("plain", ("plain", "fancy"))


def toy_units(settings):
    return [Unit(f"slope-{slope}", toy_rows, {"settings": settings, "slope": slope}, 10) for slope in settings.slopes]


CALLS = []


def toy_rows(settings, slope, context):
    CALLS.append(slope)
    context.report(4)
    random = np.random.default_rng(slope)
    return [
        {"slope": slope, "seed": seed, "value": settings.scale * slope + 0.1 * random.standard_normal(), "curve": [1.5]}
        for seed in range(settings.seeds)
    ]


def toy_figure(table):
    from mnist1d_hf.studies.figures import curve, new_figure

    figure, (axis,) = new_figure("toy", 1)
    curve(axis, sorted(table.unique("slope")), table.grid("value", "slope"), "values")
    return figure


def toy_claims(table):
    return [compare("two", "The value at slope 2 is 2", table.where(slope=2).by_seed("value"), least=1.5, most=2.5)]


TOY = Study(
    name="toy",
    question="Is it linear?",
    source="nobody",
    full=ToySettings(),
    quick=ToySettings(seeds=3),
    units=toy_units,
    figure=toy_figure,
    claims=toy_claims,
    minutes=3,
)


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_study_leaves_table_figure_and_verdict(tmp_path):
    told = []
    found = Job(TOY, TOY.quick, tmp_path / "a", num_proc=1).run(told.append)
    assert sum(told) == 30
    assert [row["slope"] for row in found.table] == [1] * 3 + [2] * 3 + [3] * 3
    assert found.claims[0].outcome == "reproduced"
    kept = Output(tmp_path / "a")
    assert kept.table().rows == found.table.rows
    assert kept.verdict()["headline"] == headline(found.claims)
    assert kept.manifest()["settings"] == {"seeds": 3, "slopes": [1, 2, 3], "scale": 1.0, "kind": "plain"}
    assert set(kept.cost()["seconds"]) == {"slope-1", "slope-2", "slope-3"}
    assert (tmp_path / "a" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_interrupted_it_goes_on_to_the_same_table(tmp_path):
    whole = Job(TOY, TOY.quick, tmp_path / "whole", num_proc=1).run()
    CALLS.clear()

    def stopped(settings, slope, context):
        if slope == 2:
            raise KeyboardInterrupt
        return toy_rows(settings, slope, context)

    broken = dataclasses.replace(
        TOY, units=lambda settings: [dataclasses.replace(unit, function=stopped) for unit in toy_units(settings)]
    )
    with pytest.raises(KeyboardInterrupt):
        Job(broken, TOY.quick, tmp_path / "parts", num_proc=1).run()
    assert CALLS == [1]
    told = []
    found = Job(TOY, TOY.quick, tmp_path / "parts", num_proc=1).run(told.append)
    assert CALLS == [1, 2, 3]
    assert told[0] == 10
    assert sum(told) == 30
    assert found.table.rows == whole.table.rows
    for name in ("table.parquet", "verdict.json", "figure.png"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    Job(TOY, TOY.quick, tmp_path / "parts", num_proc=1).run()
    assert CALLS == [1, 2, 3]


def test_processes_give_the_table_of_one(tmp_path):
    one = Job(TOY, TOY.quick, tmp_path / "one", num_proc=1).run()
    told = []
    two = Job(TOY, TOY.quick, tmp_path / "two", num_proc=2).run(told.append)
    assert two.table.rows == one.table.rows
    assert sum(told) == 30


@pytest.mark.parametrize(
    ("study", "settings", "message"),
    [
        (
            dataclasses.replace(TOY, name="other"),
            TOY.quick,
            "(study is toy there and other here)",
        ),
        (TOY, ToySettings(seeds=4), "belongs to other settings (seeds is 3 there and 4 here)"),
        (TOY, ToySettings(seeds=3, slopes=(1, 2)), "slopes is 1,2,3 there and 1,2 here"),
    ],
)
def test_nothing_is_mixed(study, settings, message, tmp_path):
    Job(TOY, TOY.quick, tmp_path, num_proc=1).run()
    before = files(tmp_path)
    with pytest.raises(OSError) as caught:
        Job(study, settings, tmp_path)
    assert message in str(caught.value)
    assert files(tmp_path) == before


def test_a_manifest_without_settings_is_damaged(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"study": "toy", "format": 1, "settings": 3}))
    with pytest.raises(OSError, match=r"study\.json: damaged"):
        Output(tmp_path).manifest()


@pytest.mark.parametrize("name", ["table.parquet", "verdict.json", "study.json"])
def test_damaged_results_are_named(name, tmp_path):
    Job(TOY, TOY.quick, tmp_path, num_proc=1).run()
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    kept = Output(tmp_path)
    with pytest.raises(OSError, match=name):
        (kept.manifest if name == "study.json" else kept.table)()


def test_a_table_of_another_run_is_not_taken(tmp_path):
    Job(TOY, TOY.quick, tmp_path / "a", num_proc=1).run()
    Job(TOY, ToySettings(seeds=4), tmp_path / "b", num_proc=1).run()
    (tmp_path / "a" / "table.parquet").write_bytes((tmp_path / "b" / "table.parquet").read_bytes())
    with pytest.raises(OSError, match=r"its checksum is not that in verdict\.json"):
        Output(tmp_path / "a").table()


def test_keys_are_names_of_files():
    for keys in (["a", "a"], ["../a"], ["a b"], [""]):
        odd = dataclasses.replace(TOY, units=lambda _, keys=keys: [Unit(key, toy_rows, {}, 1) for key in keys])
        with pytest.raises(ValueError, match="expected keys of letters and digits"):
            checked_units(odd, TOY.quick)


# Settings


def test_settings_are_changed_by_name():
    changed = ToySettings().changed({"slopes": "4, 5", "scale": "2", "kind": "fancy", "seeds": "1"})
    assert changed == ToySettings(seeds=1, slopes=(4, 5), scale=2.0, kind="fancy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sede": "3"}, "unknown setting 'sede': did you mean 'seeds'"),
        ({"seeds": "0"}, "seeds: expected an integer of at least 1, found 0"),
        ({"seeds": "many"}, "seeds: expected an integer, found 'many'"),
        ({"slopes": ""}, "slopes: expected at least one value"),
        ({"slopes": "1,1"}, "slopes: expected each value once, found 1,1"),
        ({"scale": "nan"}, "scale: expected a finite number of at least 0, found nan"),
        ({"scale": "big"}, "scale: expected a number, found 'big'"),
        ({"kind": "fency"}, "kind: unknown value 'fency': did you mean 'fancy'"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError) as caught:
        ToySettings().changed(changes)
    assert message in str(caught.value)


# Claims


@pytest.mark.parametrize(
    ("values", "least", "most", "outcome"),
    [
        ([1.0, 1.1, 0.9], 0, None, "reproduced"),
        ([-1.0, -1.1, -0.9], 0, None, "not reproduced"),
        ([1.0, -1.1, 0.2], 0, None, "undecided"),
        ([5.0, 5.1, 4.9], 4, 6, "reproduced"),
        ([5.0, 5.1, 4.9], 6, 7, "not reproduced"),
        ([5.0, 5.1, 4.9], 2, 3, "not reproduced"),
        ([5.0, 5.1, 4.9], 5, 6, "undecided"),
        ([5.0, 5.1, 4.9], None, 6, "reproduced"),
        ([1.0], 0, None, "undecided"),
        ([1.0, float("nan")], 0, None, "undecided"),
        ([2.0, 2.0], 0, None, "reproduced"),
    ],
)
def test_the_rule(values, least, most, outcome):
    claim = compare("name", "text", values, least=least, most=most)
    assert claim.outcome == outcome
    assert claim.to_dict()["outcome"] == outcome
    json.dumps(claim.to_dict(), allow_nan=False)


def test_the_rule_errs_rarely():
    """A true mean on the edge of the range is called reproduced in 2.5 % of cases: 2,000 draws of ten normal values,
    so that more than 3.9 % or fewer than 1.3 % have a probability below 1e-4."""
    random = np.random.default_rng(0)
    hits = [compare("a", "b", random.standard_normal(10), least=0).outcome == "reproduced" for _ in range(2000)]
    assert 0.013 < np.mean(hits) < 0.039


# Tables


def test_tables_refuse_what_is_not_tidy():
    with pytest.raises(ValueError, match=r"expected the same columns in all of them, found \['b'\]"):
        Table([{"a": 1}, {"a": 1, "b": 2}])
    table = Table([{"seed": 0, "width": 1, "loss": 2.0}, {"seed": 1, "width": 2, "loss": 3.0}])
    with pytest.raises(ValueError, match="loss: expected one row for each seed and width"):
        table.grid("loss", "width")
    with pytest.raises(ValueError, match="expected one row for each seed"):
        Table([{"seed": 0, "loss": 2.0}] * 2).by_seed("loss")


def test_tables_come_back_as_they_were(tmp_path):
    rows = [{"name": "a", "n": 1, "x": 0.1, "good": True, "curve": [1.0, 2.0]}]
    table = Table(rows)
    assert Table.from_bytes(table.to_bytes(), tmp_path).rows == rows
    assert table.to_bytes() == Table(rows).to_bytes()


# What ships


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_is(name):
    study = find_study(name)
    module = sys.modules[study.units.__module__]
    assert study.name == name
    assert study.question.endswith("?")
    for word in ("Question:", "Source:", "Protocol:", "Expected:"):
        assert word in module.__doc__, word
    assert type(study.full) is type(study.quick)
    assert study.full.seeds >= 10
    for settings in (study.full, study.quick):
        units = checked_units(study, settings)
        assert all(unit.work > 0 for unit in units)
    for field in dataclasses.fields(study.full):
        assert f"{field.name}:" in type(study.full).__doc__ or field.name == "seeds", field.name


@pytest.mark.parametrize("name", STUDIES)
def test_every_quick_run_goes_through(name, tmp_path):
    """In under a minute; the verdict that is kept follows from the table that is kept."""
    study = find_study(name)
    started = time.process_time()
    found = Job(study, study.quick, tmp_path / "out", num_proc=1).run()
    assert time.process_time() - started < 60
    assert found.claims
    kept = Output(tmp_path / "out")
    again = [claim.to_dict() for claim in study.claims(kept.table())]
    assert again == kept.verdict()["claims"]
    assert {row["seed"] for row in found.table} == set(range(study.quick.seeds))


@pytest.mark.parametrize("name", STUDIES)
def test_recorded_verdicts_follow_from_their_tables(name):
    study, kept = find_study(name), recorded.recorded(name)
    assert kept.manifest()["settings"] == study.full.to_dict()
    assert set(kept.cost()["seconds"]) == {unit.key for unit in study.units(study.full)}
    claims = study.claims(kept.table())
    assert [claim.to_dict() for claim in claims] == kept.verdict()["claims"]
    assert headline(claims) == kept.verdict()["headline"]


def test_all_studies_together_take_three_hours_on_two_cores():
    assert sum(recorded.full_seconds(find_study(name)) for name in STUDIES) <= 2 * 3 * 3600
