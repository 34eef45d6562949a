"""The recipes by name. A name always means the same: a change of numbers takes a new name.

The paper's four follow its protocol: Adam at 1e-2, no weight decay, batches of 100 in the stored order, 6,000 steps on
all 4,000 samples, read at the final step, with the test accuracy watched every 250 steps (Greydanus & Kobak 2024,
arXiv 2011.14439, and its notebooks). All others hold out a tenth of the training split and keep the step that is best
on it.
"""

from __future__ import annotations

from mnist1d_hf.errors import InvalidValueError, did_you_mean
from mnist1d_hf.training.recipe import Recipe

_PAPER = "Greydanus & Kobak 2024 (arXiv 2011.14439), table 1"
_REVIEW = "review of the paper, dl.reviews, 2020-12-06"


def _papers(architecture: str, reach: float, shuffled: float) -> list[Recipe]:
    """The paper's protocol for one of its networks, on the signals and on the shuffled ones."""
    made = []
    for data, goal in (("default", reach), ("shuffled", shuffled)):
        made.append(
            Recipe(
                name=architecture if data == "default" else f"{architecture}-{data}",
                network={"architecture": architecture},
                data=data,
                steps=6000,
                shuffle=False,
                holdout=0.0,
                select="final",
                watch_test=True,
                seeds=20 if architecture == "gru" else 100,
                reach=goal,
                source=_PAPER,
            )
        )
    return made


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *_papers("logistic", 32, 32),
        *_papers("mlp", 68, 68),
        *_papers("cnn", 94, 56),
        *_papers("gru", 91, 57),
        Recipe(
            name="cnn-review",
            network={"architecture": "cnn", "widths": (50, 50, 50), "activation": "prelu", "dropout": 0.2},
            steps=3000,
            optimizer="adamw",
            weight_decay=0.1,
            schedule="cosine",
            seeds=100,
            reach=96.8,
            source=_REVIEW,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        InvalidValueError: no such name; the message lists those that exist.

    >>> find_recipe("cnn").steps
    6000
    """
    if name not in RECIPES:
        raise InvalidValueError(f"unknown recipe {name!r}: {did_you_mean(name, RECIPES)}")
    return RECIPES[name]
