"""The dataset and the baselines on the Hugging Face Hub: stage, check, commit, read back."""

from mnist1d_hf.errors import require

require("torch", "transformers", "matplotlib", "jinja2", "yaml", "tenacity")
