#!/usr/bin/env python
"""Train the paper's CNN with the transformers.Trainer on the endless stream; evaluate it on the paper's test split.

.venv/bin/python scripts/train_with_trainer.py --max-steps 2000
.venv/bin/torchrun --nproc_per_node 2 scripts/train_with_trainer.py --max-steps 1000    # ranks share the stream
.venv/bin/python scripts/train_with_trainer.py --max-steps 2000 --save-steps 100 --resume    # go on after a stop
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from datasets.distributed import split_dataset_by_node
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import EvalPrediction, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, TrainerState

import mnist1d_hf
from mnist1d_hf import Mnist1dConfig, Mnist1dForSequenceClassification
from mnist1d_hf.cli.terminal import run_main
from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import InvalidValueError

STATE = "trainer_state.json"


class StreamTrainer(Trainer):
    """A Trainer that reads whole batches from the stream, which is faster than row after row.

    `finished_steps` says how many steps a checkpoint has behind it. With `ignore_data_skip` the Trainer leaves it to
    the stream to skip their samples, which takes constant time; the Trainer itself would read them all again.
    """

    finished_steps = 0

    def get_train_dataloader(self) -> DataLoader:
        rank, world = self.args.process_index, self.args.world_size
        rows = split_dataset_by_node(self.train_dataset, rank=rank, world_size=world)  # each row on one rank only
        rows = rows.skip(self.finished_steps * self.args.per_device_train_batch_size)
        batches = rows.with_format("arrow").batch(self.args.per_device_train_batch_size)
        # Without accelerate's own DataLoader, which would divide the rows among the ranks a second time.
        return DataLoader(batches, batch_size=None, collate_fn=to_inputs, num_workers=self.args.dataloader_num_workers)


def to_inputs(table: pa.Table) -> dict[str, Tensor]:
    """The arguments of the model's forward, from an Arrow table: `x` (batch, 40) and `labels` (batch,)."""
    x, labels = mnist1d_hf.to_torch(table)
    return {"x": x, "labels": labels}


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """The fraction of correct predictions."""
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


def last_checkpoint(folder: str) -> Path:
    """The newest checkpoint that is whole: the Trainer writes its state last.

    Raises:
        InvalidValueError: there is none.
    """
    whole = [path.parent for path in Path(folder).glob(f"checkpoint-*/{STATE}")]
    if not whole:
        raise InvalidValueError(f"--resume: expected a checkpoint in {folder}, found none; leave the option out")
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]))


def main() -> None:
    options = parse()
    torch.manual_seed(options.seed % 2**32)
    trainer = StreamTrainer(
        model=Mnist1dForSequenceClassification(Mnist1dConfig()),  # the default architecture is the paper's CNN
        args=TrainingArguments(
            output_dir=options.output_dir,
            max_steps=options.max_steps,
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=500,
            learning_rate=options.learning_rate,
            lr_scheduler_type="cosine",
            dataloader_num_workers=options.num_workers,
            logging_steps=max(1, options.max_steps // 10),
            save_strategy="steps" if options.save_steps else "no",
            save_steps=options.save_steps or 1,
            ignore_data_skip=True,
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            ddp_find_unused_parameters=False,
            seed=options.seed % 2**32,
        ),
        train_dataset=mnist1d_hf.stream(seed=options.seed),
        eval_dataset=mnist1d_hf.load_dataset(split="test"),
        compute_metrics=accuracy,
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(options.output_dir) if options.resume else None
    if checkpoint is not None:
        trainer.finished_steps = TrainerState.load_from_json(str(checkpoint / STATE)).global_step
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    seconds = time.perf_counter() - started
    score = trainer.evaluate()["eval_accuracy"]
    if trainer.is_world_process_zero():
        step = options.batch_size * trainer.args.world_size
        speed = (options.max_steps - trainer.finished_steps) * step / seconds
        print(f"test accuracy {100 * score:.1f} % after {options.max_steps * step:,} samples, {speed:,.0f} a second")
    if trainer.args.world_size > 1:
        # Destroying the group of ranks while a thread of gloo still holds the result of the last collective would
        # block both for ever (pytorch/pytorch#56297).
        time.sleep(1)
        trainer.accelerator.end_training()


def parse() -> argparse.Namespace:
    """The options of the command line, checked.

    Raises:
        InvalidValueError: a number out of range.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-steps", type=int, default=2000, help="optimiser steps (default 2000)")
    parser.add_argument("--batch-size", type=int, default=256, help="samples a step on each rank (default 256)")
    parser.add_argument("--learning-rate", type=float, default=1e-2, help="at its highest (default 0.01)")
    parser.add_argument("--seed", type=int, default=0, help="of the stream and of the weights (default 0)")
    parser.add_argument("--num-workers", type=int, default=0, help="processes that read (default 0: none)")
    parser.add_argument("--save-steps", type=int, default=0, help="steps between checkpoints (default 0: none)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of the folder")
    parser.add_argument("--output-dir", default="trainer-output", help="folder (default trainer-output)")
    options = parser.parse_args()
    for name, least in (("max_steps", 1), ("batch_size", 1), ("num_workers", 0), ("save_steps", 0)):
        check_integer(name, getattr(options, name), least)
    if options.save_steps % max(1, options.num_workers):  # else one worker is a batch ahead of another
        parser.error(f"argument --save-steps: expected a multiple of {options.num_workers}, the number of workers")
    if not 0 < options.learning_rate < 1e3:
        parser.error(f"argument --learning-rate: expected a number between 0 and 1000, found {options.learning_rate}")
    return options


if __name__ == "__main__":
    try:
        run_main("train_with_trainer.py", main)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
