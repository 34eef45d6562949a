"""`pipeline("signal-classification")`: a signal in, labels with probabilities out. This file travels to the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from transformers import Pipeline
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

TASK = "signal-classification"
# Entry of a saved config.json: where transformers finds the pipeline, with `trust_remote_code=True`.
CUSTOM_PIPELINES = {
    TASK: {
        "impl": "pipeline_mnist1d.SignalClassificationPipeline",
        "pt": ["AutoModelForSequenceClassification"],
        "type": "multimodal",
    }
}


class SignalClassificationPipeline(Pipeline):
    """Classifies signals of the model's length.

    In: a list of numbers or an array (length,) for one signal, a list of lists or an array (n, length) for several.
    Out: for each signal a list of `{"label", "score"}`, best first; for one signal that list alone.
    Signals of a generator or of a torch dataset, `KeyDataset(dataset, "x")` too, are read while results are asked for.
    `top_k` says how many labels are given (default 1; None for all), `batch_size` how many signals are classified
    together (default 1).

    >>> from mnist1d_hf.models.catalog import load_pretrained
    >>> classify = SignalClassificationPipeline(load_pretrained("cnn"))
    >>> [item["label"] for item in classify([0.0] * 40, top_k=2)].__len__()
    2
    """

    def __call__(self, inputs: Any, **arguments: Any) -> Any:
        """Classify one signal or several."""
        if isinstance(inputs, Iterator):
            return super().__call__(_Rows(inputs), **arguments)
        if isinstance(inputs, Dataset):
            empty = hasattr(inputs, "__len__") and not len(inputs)
            return [] if empty else super().__call__(inputs, **arguments)
        array = self._array(inputs)
        if array.ndim == 1 and len(array):
            return super().__call__(array, **arguments)
        rows = list(array)
        return super().__call__(rows, **arguments) if rows else []

    def _array(self, inputs: Any) -> Any:
        length = self.model.config.sequence_length
        expected = f"signal: expected {length} numbers, or rows of so many"
        try:
            array = np.asarray(inputs.detach().cpu() if isinstance(inputs, torch.Tensor) else inputs, dtype=np.float32)
        except (TypeError, ValueError):
            raise ValueError(f"{expected}, found {type(inputs).__name__} of something else") from None
        if array.shape != (0,) and (array.ndim not in (1, 2) or array.shape[-1] != length):
            raise ValueError(f"{expected}, found shape {array.shape}")
        return array

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Any:
        """As in transformers, which makes batches only where there is a tokenizer or a feature extractor."""
        sized = hasattr(inputs, "__len__")
        signals = (PipelineDataset if sized else PipelineIterator)(inputs, self.preprocess, preprocess_params)
        workers = num_workers if sized else min(num_workers, 1)  # each further one would read the whole generator
        batches = DataLoader(signals, batch_size, num_workers=workers, collate_fn=_joined)
        outputs = PipelineIterator(batches, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(outputs, self.postprocess, postprocess_params)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], ...]:
        if "top_k" not in parameters:
            return {}, {}, {}
        top_k, classes = parameters["top_k"], self.model.config.num_labels
        whole = hasattr(top_k, "__index__") and not isinstance(top_k, bool)
        if top_k is not None and not (whole and top_k >= 1):
            raise ValueError(f"top_k: expected an integer from 1 to {classes} or None, found {top_k!r}")
        return {}, {}, {"top_k": classes if top_k is None else min(int(top_k), classes)}

    def preprocess(self, inputs: Any, **_: Any) -> dict[str, torch.Tensor]:
        """A signal as the model takes it."""
        array = self._array(inputs)
        if array.ndim != 1 or not len(array):
            raise ValueError(f"signal: expected {self.model.config.sequence_length} numbers, found shape {array.shape}")
        return {"x": torch.from_numpy(array)[None]}

    def _forward(self, model_inputs: Mapping[str, torch.Tensor], **_: Any) -> Any:
        return self.model(**model_inputs)

    def postprocess(self, model_outputs: Any, top_k: int = 1, **_: Any) -> list[dict[str, Any]]:
        """Labels and probabilities, best first."""
        scores = model_outputs["logits"][0].float().softmax(-1)
        best = scores.topk(top_k)
        names = self.model.config.id2label
        return [
            {"label": names[int(label)], "score": float(score)}
            for score, label in zip(best.values, best.indices, strict=True)
        ]


class _Rows(IterableDataset):
    """The rows of an iterator, one by one; a generator as such is read whole by older releases of transformers."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Any]:
        return self.rows


def _joined(signals: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {"x": torch.cat([signal["x"] for signal in signals])}
