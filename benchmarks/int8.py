"""What do 8 bits change: the answers, the accuracy, and does a text's batch matter?

On rows that no student was trained on: the exports of one run a data set, the int8 graph as it is
when each weight is rounded by itself, and onnxruntime's own dynamic quantisation of the same graph
(one scale for a whole batch; weights column by column, in 8 and in 7 bits). Every text is
classified one by one and 16 at a time. Data sets besides the helpdesk rows give 1,000 rows to train
on, and 1,000 of the test file; nothing is chosen by them.

    python benchmarks/int8.py --data-root ../shared/data
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

import pgkd
from pgkd.distill.provenance import environment
from pgkd.evaluation import draw_rows
from pgkd.serving import quantize as quantizing
from pgkd.serving.export import export
from pgkd.serving.manifest import Manifest
from pgkd.serving.parity import compare
from pgkd.serving.quantize import quantize
from pgkd.serving.rounding import round_weights
from pgkd.student.encoder import EncoderStudent
from pgkd.task import read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.serving.rounding import Floats
    from pgkd.student import Student

    Rows = tuple[list[str], list[str]]

HERE = Path(__file__).parent
HELPDESK = HERE.parent / "examples" / "helpdesk"
BATCH = 16


def main() -> None:
    """Make a run of each data set, compare, print and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data-root", type=Path, default=Path("../shared/data"))
    add("--data", nargs="*", default=["banking77", "agnews", "trec6"])
    add("--rows", type=int, default=1000, help="to train on, and to judge on")
    add("--out", type=Path, default=HERE / "results" / "int8.json", help="JSON to write")
    args = parser.parse_args()
    parts = {
        "helpdesk": [read_rows(HELPDESK / f"{n}.csv", "text", "label") for n in ("train", "test")],
        **{name: drawn(args.data_root / name, args.rows) for name in args.data},
    }
    found = []
    for name, (train, test) in parts.items():
        with TemporaryDirectory() as folder:
            found.append({"data": name, **judge(Path(folder), train, test)})
        print(time.strftime("%H:%M:%S"), json.dumps(found[-1]), flush=True)
    report = {"rows": args.rows, "batch": BATCH, "environment": environment(), "data": found}
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def drawn(folder: Path, n: int) -> list[Rows]:
    """Rows of the training file, and of the test file."""
    classes = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    found = []
    for split in ("train", "test"):
        texts, labels = read_rows(folder / f"{split}.csv.gz", "text", "label", classes=classes)
        indices = draw_rows(len(texts), min(n, len(texts)), 0)
        found.append(([texts[i] for i in indices], [labels[i] for i in indices]))
    return found


def judge(folder: Path, train: Rows, test: Rows) -> dict[str, Any]:
    """The verdict of the gate, and every graph on the test rows."""
    path = folder / "run"
    pgkd.Distiller(
        teacher="fake", student={"kind": "encoder"}, rounds=0, out=str(path),
        data={"on_conflict": "drop"},
    ).fit(*train)  # fmt: skip
    run = pgkd.RunFolder.open(path)
    gate = [found.to_json() | {"path": None} for found in export(run, "onnx-int8", folder / "gate")]
    export(run, "onnx", folder)
    student = run.student("best")
    folders = {"onnx": folder / "onnx", "onnx-int8": in_8_bits(folder / "onnx", student, train[0])}
    with patch.object(quantizing, "round_weights", rounded_plainly):
        plain = in_8_bits(folder / "onnx", student, train[0], "plain")
    folders["onnx-int8, each weight rounded by itself"] = plain
    for bits in (8, 7):
        folders[f"onnxruntime dynamic, {bits} bits"] = dynamic(folder / "onnx", bits)
    answers = student.predict_proba(test[0])
    graphs = {
        name: figures(place, *test, answers, student.classes) for name, place in folders.items()
    }
    return {"gate": gate, "graphs": graphs}


def rounded_plainly(weight: Floats, moment: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """`round_weights` as if no input told of another."""
    return round_weights(weight, np.diag(np.diag(moment)))


def in_8_bits(
    folder: Path, student: Student, texts: Sequence[str], name: str = "onnx-int8"
) -> Path:
    """The int8 graph of an export, whatever the gate says of it; scales are fixed by `texts`."""
    import onnx

    new = folder.with_name(name)
    shutil.copytree(folder, new)
    assert isinstance(student, EncoderStudent)
    graph = quantize(onnx.load(folder / "model.onnx"), student.encoder.tokens(texts))
    (new / "model.onnx").write_bytes(graph.SerializeToString())
    kept = Manifest.read(folder)
    Manifest("onnx-int8", kept.classes, kept.max_length).write(new)
    return new


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


def figures(
    folder: Path,
    texts: Sequence[str],
    labels: Sequence[str],
    student: NDArray[np.float64],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Against the student; and one by one against batches of texts as they come."""
    model = pgkd.load(folder)
    alone = np.concatenate([model.predict_proba([text]) for text in texts])
    starts = range(0, len(texts), BATCH)
    beside = np.concatenate([model.predict_proba(texts[i : i + BATCH]) for i in starts])
    return {
        **compare(student, beside, labels, classes).to_json(),
        "mean_difference": float(np.abs(student - beside).sum(axis=1).mean() / 2),
        "labels_that_depend_on_the_batch": int((alone.argmax(1) != beside.argmax(1)).sum()),
        "largest_difference_by_batch": float(np.abs(alone - beside).max()),
    }


if __name__ == "__main__":
    main()
