"""Networks for MNIST-1D: a configuration, a `PreTrainedModel`, a pipeline."""
