"""A static page on which to see, draw, classify and train: its modules, and what makes its folder."""

from mnist1d_hf.playground.build import build

__all__ = ["build"]
