"""The studies that MNIST-1D was made for: each one file, one command, and a verdict on what the literature claims."""

from mnist1d_hf.errors import require

require("torch", "transformers", "matplotlib")
