"""Does a text's answer depend on the texts beside it? And is it still the student's?

All 637 helpdesk rows by the exports of one run, and by onnxruntime's own dynamic quantisation of the
same graph (one scale for a whole batch; weights column by column, in 8 and in 7 bits): one by one,
and 16 at a time. Labels of the rows play no part.

    python benchmarks/batch_invariance.py
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import pgkd
from pgkd.distill.provenance import environment
from pgkd.serving.export import export
from pgkd.task import read_rows

HERE = Path(__file__).parent
HELPDESK = HERE.parent / "examples" / "helpdesk"
BATCH = 16


def main() -> None:
    """Make a run, compare, print and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "batch_invariance.json")
    args = parser.parse_args()
    train, test = (
        read_rows(HELPDESK / f"{name}.csv", "text", "label") for name in ("train", "test")
    )
    texts = [*train[0], *test[0]]
    with TemporaryDirectory() as name:
        run = Path(name) / "run"
        pgkd.Distiller(teacher="fake", student={"kind": "encoder"}, rounds=0, out=str(run)).fit(
            *train
        )
        student = pgkd.RunFolder.open(run).student("best").predict_proba(texts)
        export(pgkd.RunFolder.open(run), "all", run / "export")
        folders = {name: run / "export" / name for name in ("onnx", "onnx-int8")}
        for bits in (8, 7):
            folders[f"onnxruntime dynamic, {bits} bits"] = dynamic(folders["onnx"], bits)
        rows = [
            {"graph": name, **judge(folder, texts, student)} for name, folder in folders.items()
        ]
    for row in rows:
        print(json.dumps(row))
    report = {"rows": len(texts), "batch": BATCH, "environment": environment(), "graphs": rows}
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def dynamic(folder: Path, bits: int) -> Path:
    """A copy of an export whose graph onnxruntime quantised."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    new = folder.with_name(f"dynamic-{bits}")
    shutil.copytree(folder, new)
    quantize_dynamic(
        folder / "model.onnx",
        new / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=bits == 7,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    return new


def judge(folder: Path, texts: list[str], student: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Answers one by one against answers in batches of texts as they come, and the student's."""
    model = pgkd.load(folder)
    alone = np.concatenate([model.predict_proba([text]) for text in texts])
    starts = range(0, len(texts), BATCH)
    beside = np.concatenate([model.predict_proba(texts[i : i + BATCH]) for i in starts])
    return {
        "labels_that_depend_on_the_batch": int((alone.argmax(1) != beside.argmax(1)).sum()),
        "largest_difference_by_batch": float(np.abs(alone - beside).max()),
        "same_answers_as_student": float((beside.argmax(1) == student.argmax(1)).mean()),
    }


if __name__ == "__main__":
    main()
