"""The rule that decides claims, the settings, and the tables that claims are computed from."""

import json

import numpy as np
import pandas as pd
import pytest

from mnist1d_hf.studies.claims import claim_mean
from mnist1d_hf.studies.frames import by_seed, from_parquet, grid, to_parquet
from tests.studies.test_framework import ToySettings


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
    claim = claim_mean("name", "text", values, least=least, most=most)
    assert claim.outcome == outcome
    assert claim.to_dict()["outcome"] == outcome
    json.dumps(claim.to_dict(), allow_nan=False)


def test_the_rule_errs_rarely():
    """A true mean on the edge of the range is called reproduced in 2.5 % of cases: 2,000 draws of ten normal values,
    so that more than 3.9 % or fewer than 1.3 % have a probability below 1e-4."""
    random = np.random.default_rng(0)
    hits = [claim_mean("a", "b", random.standard_normal(10), least=0).outcome == "reproduced" for _ in range(2000)]
    assert 0.013 < np.mean(hits) < 0.039


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


# Tables


def test_rows_come_back_from_parquet():
    rows = [{"name": "a", "n": 1, "x": 0.1, "good": True, "curve": [1.0, 2.0]}]
    (found,) = from_parquet(to_parquet(rows)).to_dict("records")
    assert {**found, "curve": list(found["curve"])} == rows[0]
    assert to_parquet(rows) == to_parquet(rows)


def test_tables_that_are_not_complete_are_refused():
    with pytest.raises(ValueError, match=r"expected the same columns in all of them, found \['b'\]"):
        to_parquet([{"a": 1}, {"a": 1, "b": 2}])
    missing = pd.DataFrame({"seed": [0, 1], "width": [1, 2], "loss": [2.0, 3.0]})
    with pytest.raises(ValueError, match="loss: expected a row for each of 2 seeds and 2 values of width, found 2"):
        grid(missing, "loss", "width")
    twice = pd.DataFrame({"seed": [0, 0], "width": [1, 1], "loss": [2.0, 3.0]})
    with pytest.raises(ValueError, match="loss: expected one row for each seed, found 2 rows"):
        by_seed(twice, "loss")
    with pytest.raises(ValueError, match="duplicate"):
        grid(twice, "loss", "width")
