"""The studies that MNIST-1D was made for: each one file, one command, and a verdict on what the literature claims."""
