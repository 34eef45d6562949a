"""Training: arrays and a recipe in, weights and evidence out."""
