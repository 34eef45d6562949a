"""Makes transformers' Auto classes and `pipeline` know the networks. Doing it twice changes nothing.

`mnist1d_hf.lazy` calls this when one of them is asked for a network of this package.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.pipelines import PIPELINE_REGISTRY

from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification, Mnist1dModel
from mnist1d_hf.models.pipeline_mnist1d import TASK, SignalClassificationPipeline


def register() -> None:
    """Register configuration, models and pipeline; saved models then also carry their code.

    >>> register()
    >>> AutoConfig.for_model("mnist1d").architecture
    'cnn'
    """
    AutoConfig.register(Mnist1dConfig.model_type, Mnist1dConfig, exist_ok=True)
    Mnist1dConfig.register_for_auto_class()
    for auto, model in (
        (AutoModel, Mnist1dModel),
        (AutoModelForSequenceClassification, Mnist1dForSequenceClassification),
    ):
        auto.register(Mnist1dConfig, model, exist_ok=True)
        model.register_for_auto_class(auto.__name__)
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(
            TASK,
            pipeline_class=SignalClassificationPipeline,
            pt_model=AutoModelForSequenceClassification,
            type="multimodal",
        )
