"""Traps that others fell into: each is put back into a copy of pgkd, and a test has to notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import pgkd

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Trap:
    """A mistake, as the change that makes it, and the tests that have to fail then."""

    name: str
    file: str
    old: str
    new: str
    tests: str


TRAPS = (
    Trap(
        "a function of 900 lines",
        "loop.py",
        '    best, detail = 0, ""\n',
        '    best, detail = 0, ""\n' + "    best = 0\n" * 900,
        "tests/test_house.py",
    ),
    Trap(
        "something runs at import",
        "tasks/classification/feedback/mining.py",
        "_ROWS_TO_JUDGE = 3",
        "print('init')\n_ROWS_TO_JUDGE = 3",
        "tests/test_house.py",
    ),
    Trap(
        "an if-chain over providers",
        "teachers/__init__.py",
        "**config.teacher.arguments_for(teacher_maker(provider))",
        '**({"model": "m"} if provider == "openai" else {})',
        "tests/test_config.py",
    ),
    Trap(
        "the best student is a link to the last one",
        "runs/folder.py",
        "lambda new: copy_folder(last, new)",
        "lambda new: (new.rmdir(), new.symlink_to(last))",
        "tests/runs/test_folder.py",
    ),
    Trap(
        "the best student shares its files with the last one",
        "files.py",
        "        shutil.copy2(source, target)\n    return target",
        "        Path(target).hardlink_to(source)\n    return target",
        "tests/runs/test_folder.py",
    ),
    Trap(
        "fine-tuning changes the encoder that all students share",
        "encoders/training.py",
        "copy.deepcopy(encoder.model)",
        "encoder.model",
        "tests/tasks/classification/students/test_encoder.py",
    ),
    Trap(
        "a training loader that never shuffles",
        "encoders/training.py",
        "rng.permutation(len(lengths))",
        "np.arange(len(lengths))",
        "tests/encoders/test_training.py",
    ),
    Trap(
        "a repair prompt without the original request",
        "synthesis.py",
        "(*original.messages, answer,",
        "(answer,",
        "tests/test_repair.py",
    ),
    Trap(
        "a file of texts is read as a whole",
        "apps/bulk/predicting.py",
        "_in_chunks(islice(self._texts(problems, stream), skip, None))",
        "_in_chunks(list(islice(self._texts(problems, stream), skip, None)))",
        "tests/apps/bulk/test_predicting.py",
    ),
    Trap(
        "half a step stays in a file that is gone on with",
        "apps/bulk/answers.py",
        "            self._file.truncate(self.size)\n",
        "",
        "tests/apps/bulk/test_predicting.py",
    ),
    Trap(
        "the test split where there is no validation split",
        "data/formats.py",
        "    if isinstance(dataset, datasets.DatasetDict):\n",
        '    if isinstance(dataset, datasets.DatasetDict):\n        dataset = dataset["test"]\n'
        "    if isinstance(dataset, datasets.DatasetDict):\n",
        "tests/data/test_reading.py",
    ),
    Trap(
        "an invalid label is replaced",
        "tasks/classification/prompts/parsing.py",
        "    if label not in allowed:\n",
        "    label = label if label in allowed else allowed[0]\n    if label not in allowed:\n",
        "tests/tasks/classification/prompts/test_parsing.py",
    ),
    Trap(
        "mistakes are mined from students that saw the row",
        "tasks/classification/feedback/cross_validation.py",
        "training = [real[i] for i in np.flatnonzero(folds != fold).tolist()]",
        "training = list(real)",
        "tests/tasks/classification/feedback/test_cross_validation.py",
    ),
    Trap(
        "texts written from a held-out row train its fold",
        "tasks/classification/feedback/cross_validation.py",
        "np.flatnonzero(~hidden[held].any(axis=0)).tolist()",
        "range(len(synthetic))",
        "tests/tasks/classification/feedback/test_cross_validation.py",
    ),
    Trap(
        "validation rows in the paper's prompt",
        "tasks/classification/assembly.py",
        "dataset.taxonomy, dataset.train, writing,\n            instructions",
        "dataset.taxonomy, dataset.validation, writing,\n            instructions",
        "tests/behaviour/test_trouble.py",
    ),
    Trap(
        "texts that match a validation row are kept",
        "curation.py",
        "(Reason.CONTAMINATION, self._validation),",
        "",
        "tests/test_curation.py",
    ),
    Trap(
        "texts of the pool near a validation row are trained on",
        "tasks/classification/task.py",
        "pool=without_rows(pool, dataset, near_duplicate=near)",
        "pool=pool",
        "tests/behaviour/test_pool.py",
    ),
    Trap(
        "a reply is used before it is on disk",
        "usage/metered.py",
        "        self._ledger.finish(call.n, end, cost, prices.source)\n",
        "",
        "tests/behaviour/test_trouble.py",
    ),
    Trap(
        "a reply that was paid for is asked for again on resuming",
        "usage/metered.py",
        "        if settled is not None:\n",
        "        if False:\n",
        "tests/usage/test_ledger.py",
    ),
    Trap(
        "an unknown price is taken for zero",
        "usage/prices.py",
        "        except LookupError:\n            return None",
        "        except LookupError:\n            return Decimal(0)",
        "tests/usage/test_prices.py",
    ),
    Trap(
        "calls in flight do not count in the budget",
        "usage/budget.py",
        "                self._changed.wait()\n            self._reserved += most\n",
        "                self._changed.wait()\n            self._reserved += Amount(1)\n",
        "tests/usage/test_budget.py",
    ),
    Trap(
        "the key of the environment in the run folder",
        "runs/provenance.py",
        "    return {**versions,",
        "    import os\n\n    return {'key': os.environ.get('OPENAI_API_KEY'), **versions,",
        "tests/behaviour/test_reproduce.py",
    ),
    Trap(
        "a split without a seed",
        "tasks/classification/data/dataset.py",
        "    rng = np.random.default_rng(seed)\n    groups",
        "    rng = np.random.default_rng()\n    groups",
        "tests/behaviour/test_reproduce.py",
    ),
    Trap(
        "an empty ledger is resumed, and worse students take the place of the best",
        "runs/resume.py",
        "        check_agreement(run)\n",
        "",
        "tests/runs/test_agreement.py",
    ),
    Trap(
        "what was finished is written over while it is repeated",
        "runs/resume.py",
        "            run.stage()\n",
        "            run.clear_records()\n",
        "tests/runs/test_agreement.py",
    ),
    Trap(
        "a link in a run is followed to whatever it leads to",
        "files.py",
        "if within is not None and not real.is_relative_to(within.resolve(strict=True)):",
        "if False:",
        "tests/test_files_read.py",
    ),
    Trap(
        "a parity gate that lets everything pass",
        "export/export.py",
        "if parity.faults(tolerance):",
        "if not parity:",
        "tests/export/test_export.py",
    ),
    Trap(
        "one scale of int8 for a whole batch",
        "export/quantize.py",
        "np.array([-1], dtype=np.int64)",
        "np.array([0, -1], dtype=np.int64)",
        "tests/export/test_predictor.py",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS, ids=[trap.name for trap in TRAPS])
def test_a_trap_that_is_put_back_is_noticed(trap: Trap, tmp_path: Path) -> None:
    copy = tmp_path / "pgkd"
    shutil.copytree(Path(pgkd.__file__).parent, copy)
    source = (copy / trap.file).read_text(encoding="utf-8")
    assert source.count(trap.old) == 1, "the code has changed: put the trap back another way"
    (copy / trap.file).write_text(source.replace(trap.old, trap.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", trap.tests]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, f"no test of {trap.tests} failed:\n{done.stdout[-2000:]}"
