"""Networks for MNIST-1D: configuration, `PreTrainedModel`, pipeline, and the baselines that come with the package.

Importing this registers them with transformers' Auto classes and with `pipeline`.
"""

from mnist1d_hf.errors import require

require("torch", "transformers", "safetensors")

from mnist1d_hf.models.catalog import Pretrained, list_pretrained, load_pretrained
from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification, Mnist1dModel
from mnist1d_hf.models.pipeline_mnist1d import SignalClassificationPipeline
from mnist1d_hf.models.registration import register

__all__ = [
    "Mnist1dConfig",
    "Mnist1dForSequenceClassification",
    "Mnist1dModel",
    "Pretrained",
    "SignalClassificationPipeline",
    "list_pretrained",
    "load_pretrained",
    "register",
]

register()
