#!/usr/bin/env python
"""Train the paper's CNN with the transformers.Trainer on the endless stream; evaluate it on the paper's test split.

    .venv/bin/python scripts/train_with_trainer.py --max-steps 2000
    .venv/bin/torchrun --nproc_per_node 2 scripts/train_with_trainer.py --max-steps 1000    # ranks share the stream

Needs the extra "train" (accelerate), which scripts/prepare train or scripts/test installs.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from datasets.distributed import split_dataset_by_node
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EvalPrediction, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

import mnist1d_hf
from mnist1d_hf.errors import UserError


class PaperCNN(nn.Module):
    """The convolutional network of the paper (arXiv 2011.14439), 5,210 parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Unflatten(1, (1, 40))]
        for channels, kernel in ((1, 5), (25, 3), (25, 3)):
            layers += [nn.Conv1d(channels, 25, kernel, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(125, 10))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.layers(x)
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class StreamTrainer(Trainer):
    """A Trainer that reads whole batches from an iterable dataset, which costs less than row after row."""

    def get_train_dataloader(self) -> DataLoader:
        rank, world = self.args.process_index, self.args.world_size
        share = split_dataset_by_node(self.train_dataset, rank=rank, world_size=world)  # no row twice, none lost
        batches = share.with_format("arrow").batch(self.args.per_device_train_batch_size)
        # Not handed to accelerate, which would share it out a second time.
        return DataLoader(batches, batch_size=None, collate_fn=to_inputs, num_workers=self.args.dataloader_num_workers)


def to_inputs(table: pa.Table) -> dict[str, Tensor]:
    """What the model's forward takes, from an Arrow table."""
    x, labels = mnist1d_hf.to_torch(table)
    return {"x": x, "labels": labels}


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """The share of right answers."""
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


def main() -> None:
    options = parse()
    train = mnist1d_hf.stream(seed=options.seed)
    test = datasets.load_dataset("mnist1d", split="test")
    torch.manual_seed(options.seed % 2**32)
    trainer = StreamTrainer(
        model=PaperCNN(),
        args=TrainingArguments(
            output_dir=options.output_dir,
            max_steps=options.max_steps,
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=500,
            learning_rate=options.learning_rate,
            lr_scheduler_type="cosine",
            dataloader_num_workers=options.num_workers,
            logging_steps=max(1, options.max_steps // 10),
            save_strategy="no",
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            ddp_find_unused_parameters=False,
            seed=options.seed % 2**32,
        ),
        train_dataset=train,
        eval_dataset=test,
        compute_metrics=accuracy,
    )
    trainer.remove_callback(PrinterCallback)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    score = trainer.evaluate()["eval_accuracy"]
    if trainer.is_world_process_zero():
        samples = options.max_steps * options.batch_size * trainer.args.world_size
        print(f"test accuracy {100 * score:.1f} % after {samples:,} samples, {samples / seconds:,.0f} a second")
    if trainer.args.world_size > 1:
        leave(trainer)


def leave(trainer: Trainer) -> None:
    """Leave the group of ranks in order, so that none is aborted at its exit.

    The group must not be taken down while one of gloo's threads still waits for the interpreter to give back the last
    collective: each would wait for the other for ever (pytorch/pytorch#56297).
    """
    time.sleep(1)
    trainer.accelerator.end_training()


def parse() -> Any:
    """The options, or one line about what is wrong with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    positive, rate, natural = number(int, 1), number(float, 1e-12), number(int, 0)
    parser.add_argument("--max-steps", type=positive, default=2000, help="optimiser steps (default 2000)")
    parser.add_argument("--batch-size", type=positive, default=256, help="samples a step on each rank (default 256)")
    parser.add_argument("--learning-rate", type=rate, default=1e-2, help="at its highest (default 0.01)")
    parser.add_argument("--seed", type=int, default=0, help="of the stream and of the weights (default 0)")
    parser.add_argument("--num-workers", type=natural, default=0, help="processes that read (default 0: none)")
    parser.add_argument("--output-dir", default="trainer-output", help="folder (default trainer-output)")
    return parser.parse_args()


def number(kind: Callable[[str], float], least: float) -> Callable[[str], float]:
    """What reads a finite number of at least `least`."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            name = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {name} of at least {least:g}, found {text}")
        return value

    return read


if __name__ == "__main__":
    try:
        main()
    except (UserError, OSError) as error:
        print(f"train_with_trainer.py: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
