"""The frame of all studies: interrupted ones go on, nothing is mixed, damage is named, verdicts follow from tables."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from mnist1d_hf import studies
from mnist1d_hf.studies import recorded
from mnist1d_hf.studies.claims import claim_run, find_mean
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.frames import by_seed, grid
from mnist1d_hf.studies.run import Job, Output, checked_units
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Study, Unit, all_studies, find_study
from tests.test_cli_studies import call


@dataclasses.dataclass(frozen=True)
class ToySettings(Settings):
    slopes: tuple[int, ...] = (1, 2, 3)
    scale: float = 1.0
    kind: str = choice("plain", ("plain", "fancy"))


def toy_units(settings):
    return [Unit(f"slope-{slope}", toy_rows, {"slope": slope}, 10) for slope in settings.slopes]


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
    figure, (axis,) = new_figure("toy", 1)
    curve(axis, *grid(table, "value", "slope"), "values")
    return figure


def toy_claims(table):
    values = by_seed(table, "value", slope=2)
    return [claim_run("two", "The value at slope 2 is 2", values, 2.0, effect=2.0)]


def toy_findings(table):
    return [find_mean("three", "The value at slope 3", by_seed(table, "value", slope=3))]


TOY = Study(
    name="toy",
    question="Is it linear?",
    source="nobody",
    full=ToySettings(),
    quick=ToySettings(seeds=3),
    units=toy_units,
    figure=toy_figure,
    claims=toy_claims,
    findings=toy_findings,
    minutes=30,
)


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def run(folder, settings=TOY.quick, study=TOY, num_proc=1):
    """The table, and the amounts of work that were reported."""
    told = []
    return Job(study, settings, folder, num_proc).run(told.append), told


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_study_leaves_table_figure_and_verdict(tmp_path):
    table, told = run(tmp_path / "a")
    assert sum(told) == 30
    assert table["slope"].tolist() == [1] * 3 + [2] * 3 + [3] * 3
    kept = Output(tmp_path / "a")
    assert_frame_equal(kept.table(), table)
    assert kept.verdict()["claims"][0]["outcome"] == "reproduced"
    assert kept.verdict()["headline"].startswith("The value at slope 2 is 2: reproduced")
    assert kept.verdict()["findings"][0]["mean"] == pytest.approx(3, abs=0.3)
    assert kept.manifest()["settings"] == {"seeds": 3, "slopes": [1, 2, 3], "scale": 1.0, "kind": "plain"}
    assert set(kept.cost()["seconds"]) == {"slope-1", "slope-2", "slope-3"}
    assert (tmp_path / "a" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_interrupted_it_goes_on_to_the_same_table(tmp_path):
    whole, _ = run(tmp_path / "whole")
    CALLS.clear()

    def stopped(settings, slope, context):
        if slope == 2:
            raise KeyboardInterrupt
        return toy_rows(settings, slope, context)

    broken = dataclasses.replace(
        TOY, units=lambda settings: [dataclasses.replace(unit, function=stopped) for unit in toy_units(settings)]
    )
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", study=broken)
    assert CALLS == [1]
    table, told = run(tmp_path / "parts")
    assert CALLS == [1, 2, 3]
    assert (told[0], sum(told)) == (10, 30)
    assert_frame_equal(table, whole)
    for name in ("table.parquet", "verdict.json", "figure.png"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    run(tmp_path / "parts")
    assert CALLS == [1, 2, 3]


def test_processes_give_the_table_of_one(tmp_path):
    one, _ = run(tmp_path / "one")
    two, told = run(tmp_path / "two", num_proc=2)
    assert_frame_equal(two, one)
    assert sum(told) == 30


@pytest.mark.parametrize(
    ("study", "settings", "message"),
    [
        (dataclasses.replace(TOY, name="other"), TOY.quick, "(study is toy there and other here)"),
        (TOY, ToySettings(seeds=3, slopes=(1, 2)), "belongs to other settings (slopes is 1,2,3 there and 1,2 here)"),
    ],
)
def test_nothing_is_mixed(study, settings, message, tmp_path):
    run(tmp_path)
    before = files(tmp_path)
    with pytest.raises(OSError) as caught:
        run(tmp_path, settings, study)
    assert message in str(caught.value)
    assert files(tmp_path) == before


def test_a_manifest_without_settings_is_damaged(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"study": "toy", "format": 1, "settings": 3}))
    with pytest.raises(OSError, match=r"study\.json: damaged"):
        Output(tmp_path).manifest()


@pytest.mark.parametrize("name", ["table.parquet", "verdict.json", "study.json"])
def test_damaged_results_are_named(name, tmp_path):
    run(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    kept = Output(tmp_path)
    with pytest.raises(OSError, match=name):
        (kept.manifest if name == "study.json" else kept.table)()


def test_a_table_of_another_run_is_not_taken(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", ToySettings(seeds=4))
    (tmp_path / "a" / "table.parquet").write_bytes((tmp_path / "b" / "table.parquet").read_bytes())
    with pytest.raises(OSError, match=r"its checksum is not that in verdict\.json"):
        Output(tmp_path / "a").table()


def test_keys_are_names_of_files():
    for keys in (["a", "a"], ["../a"], ["a b"], [""]):
        odd = dataclasses.replace(TOY, units=lambda _, keys=keys: [Unit(key, toy_rows, {}, 1) for key in keys])
        with pytest.raises(ValueError, match="expected keys of letters and digits"):
            checked_units(odd, TOY.quick)


@pytest.fixture
def _added(tmp_path, monkeypatch):
    """A study without recorded results, added as one file."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "toy.py").write_text("from tests.studies.test_framework import TOY as STUDY")
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(tmp_path / "more")])
    yield
    sys.modules.pop("mnist1d_hf.studies.toy", None)


@pytest.mark.usefixtures("_added")
def test_a_study_is_added_as_one_file():
    assert {"toy", "pooling"} <= set(all_studies())
    assert recorded.describe_cost(find_study("toy"), TOY.full, [], 1).startswith("estimated")
    assert "**toy.** No full run is recorded yet." in recorded.markdown()
    for arguments, code, said in (
        (["--list"], 0, "Is it linear?"),
        (["toy", "--list"], 0, "estimated: 30 min of one core"),
        (["toy", "--verdict"], 2, "toy: no full run is recorded"),
        (["toy", "--quick", "--num-proc", "1", "-o", "out"], 0, "The value at slope 2 is 2: reproduced"),
    ):
        done = call("study", *arguments)
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr
