"""The dataset and the baselines on the Hugging Face Hub: stage, check, commit, read back."""
