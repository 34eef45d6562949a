"""Makes transformers' Auto classes and `pipeline` know the networks. Doing it twice changes nothing."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.pipelines import PIPELINE_REGISTRY

from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification
from mnist1d_hf.models.pipeline import TASK, SignalClassificationPipeline


def register() -> None:
    """Register configuration, model and pipeline; saved models then also carry their code.

    >>> register()
    >>> AutoConfig.for_model("mnist1d").architecture
    'cnn'
    """
    Mnist1dConfig.register_for_auto_class()
    Mnist1dForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
    AutoConfig.register(Mnist1dConfig.model_type, Mnist1dConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(Mnist1dConfig, Mnist1dForSequenceClassification, exist_ok=True)
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(
            TASK,
            pipeline_class=SignalClassificationPipeline,
            pt_model=AutoModelForSequenceClassification,
            type="multimodal",
        )
