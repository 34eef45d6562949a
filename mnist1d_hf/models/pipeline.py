"""`pipeline("signal-classification")`: a signal in, labels with probabilities out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import Pipeline

TASK = "signal-classification"


class SignalClassificationPipeline(Pipeline):
    """Classifies signals of the model's length.

    In: a list of numbers or an array (length,) for one signal, a list of lists or an array (n, length) for several.
    Out: for each signal a list of `{"label", "score"}`, best first; for one signal that list alone.
    `top_k` says how many labels are given (default 1; None for all).

    >>> from mnist1d_hf.models.catalog import load_pretrained
    >>> classify = SignalClassificationPipeline(load_pretrained("cnn"))
    >>> [item["label"] for item in classify([0.0] * 40, top_k=2)].__len__()
    2
    """

    def __call__(self, inputs: Any, **arguments: Any) -> Any:
        """Classify one signal or several."""
        array = self._array(inputs)
        results = super().__call__([np.asarray(row) for row in np.atleast_2d(array)], **arguments)
        return results[0] if array.ndim == 1 else results

    def _array(self, inputs: Any) -> Any:
        length = self.model.config.sequence_length
        expected = f"signal: expected {length} numbers, or rows of so many"
        try:
            array = np.asarray(inputs.detach().cpu() if isinstance(inputs, torch.Tensor) else inputs, dtype=np.float32)
        except (TypeError, ValueError):
            raise ValueError(f"{expected}, found {type(inputs).__name__} of something else") from None
        if array.ndim not in (1, 2) or array.shape[-1] != length:
            raise ValueError(f"{expected}, found shape {array.shape}")
        return array

    def _sanitize_parameters(self, top_k: int | None = 1, **_: Any) -> tuple[dict[str, Any], ...]:
        classes = self.model.config.num_labels
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"top_k: expected an integer from 1 to {classes} or None, found {top_k!r}")
        return {}, {}, {"top_k": classes if top_k is None else min(top_k, classes)}

    def preprocess(self, inputs: Any, **_: Any) -> dict[str, torch.Tensor]:
        """A signal as the model takes it."""
        return {"x": torch.as_tensor(inputs).to(self.model.dtype)[None]}

    def _forward(self, model_inputs: Mapping[str, torch.Tensor], **_: Any) -> Any:
        return self.model(**model_inputs)

    def postprocess(self, model_outputs: Any, top_k: int = 1, **_: Any) -> list[dict[str, Any]]:
        """Labels and probabilities, best first."""
        scores = model_outputs.logits[0].float().softmax(-1)
        best = scores.topk(top_k)
        names = self.model.config.id2label
        return [
            {"label": names[int(label)], "score": float(score)}
            for score, label in zip(best.values, best.indices, strict=True)
        ]
