"""Training: arrays and a recipe in, weights and evidence out."""

from mnist1d_hf.errors import require

require("torch", "transformers", "safetensors")
