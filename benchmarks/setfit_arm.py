"""SetFit (Tunstall et al., 2022) on the rows of one cell, for `recipes.py` and `multilabel.py`.

SetFit wants other versions of what pgkd is tested with. So it is a process of its own: a cell comes
in as JSON on standard input, and the probabilities of the judged texts go out the same way.

    make bench-setfit
"""

from __future__ import annotations

import json
import sys
import time

import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main() -> None:
    """Train on the cell's rows, and answer for its judged texts."""
    cell = json.load(sys.stdin)
    answers, sys.stdout = sys.stdout, sys.stderr  # progress bars must not mix with the answer
    torch.set_num_threads(cell["threads"])
    started = time.process_time()
    many = isinstance(cell["labels"][0], list)  # 0 or 1 for each label
    strategy = "one-vs-rest" if many else None
    model = SetFitModel.from_pretrained(cell["encoder"], multi_target_strategy=strategy)
    model.model_body.max_seq_length = cell["max_length"]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            num_iterations=cell["iterations"],  # pairs a row; SetFit's paper takes 20
            batch_size=16,
            num_epochs=1,
            seed=cell["seed"],
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=Dataset.from_dict({"text": cell["texts"], "label": cell["labels"]}),
    )
    trainer.train()
    seconds = time.process_time() - started
    probabilities = model.predict_proba(cell["judged"], as_numpy=True)
    known = [] if many else [int(c) for c in model.model_head.classes_]
    json.dump(
        {"classes": known, "probabilities": probabilities.tolist(), "cpu_s": seconds}, answers
    )


if __name__ == "__main__":
    main()
