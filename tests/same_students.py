"""Are the students of this checkout those of another revision, to the byte?

    python -m tests.same_students --against REVISION

Three runs on the helpdesk rows: the demo's, with the replies that its teacher gave; a fine-tuned
student; and one with a pool of unlabelled texts. Each is run here and in a worktree of the other
revision, on one thread, for another number of threads adds in another order.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgkd import Teacher

ROOT = Path(__file__).parents[1]
HELPDESK = ROOT / "examples" / "helpdesk"
RECORDING = ROOT / "tests" / "recordings" / "demo.jsonl.gz"
RUNS = ("demo", "fine-tuned", "pool")
RENAMED: dict[str, str] = {}  # settings of now: what they were called before


def main() -> int:
    """Compare, and say which students differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", help="a revision")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(json.dumps(digests(args.run)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(other), args.against], check=True)
        try:
            same = [compare(name, other) for name in RUNS]
        finally:
            subprocess.run([*git, "remove", "--force", str(other)], check=True)
    return 0 if all(same) else 1


def compare(name: str, other: Path) -> bool:
    """Run one of them in both checkouts, and tell."""
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, __file__, "--run", name], check=True, capture_output=True,
                env={**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1",
                     "PGKD_OFFLINE": "1"},
            ).stdout.splitlines()[-1]
        )
        for root in (other, ROOT)
    ]  # fmt: skip
    differ = [path for path in found[0] if found[0][path] != found[1].get(path)]
    print(
        f"{name}: {len(found[0])} files, " + (f"not the same: {differ}" if differ else "the same")
    )
    return not differ and found[0].keys() == found[1].keys()


def digests(name: str) -> dict[str, str]:
    """Run it with the pgkd on the path, and digest its students."""
    from pgkd import Config, Distiller, FakeTeacher, RecordedTeacher, Reply

    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"student": {"threads": 1}, "out": str(Path(folder) / "run")}
        teacher: Teacher = FakeTeacher()
        if name == "demo":
            replies = defaultdict(list)
            for line in gzip.decompress(RECORDING.read_bytes()).splitlines():
                record = json.loads(line)
                replies[record["key"]].append(Reply.from_json(record["reply"]))
            teacher = RecordedTeacher(replies)
        elif name == "fine-tuned":
            settings["student"]["recipe"] = "finetune"
            settings["rounds"] = 1
        else:
            settings["student"]["recipe"] = "frozen"
            settings["data"] = {"unlabelled": str(HELPDESK / "test.csv")}
            settings["rounds"] = 2
        config = Config.from_yaml(HELPDESK / "pgkd.yaml", settings)
        run = Distiller(config, teacher=teacher).fit().run_
        students = run.path / "students"
        return {
            str(path.relative_to(students)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(students.rglob("*.*"))
        }


if __name__ == "__main__":
    sys.exit(main())
