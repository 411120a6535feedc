"""A plain `import pgkd` is light and silent; the wheel holds code and prompts only."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch", "transformers", "accelerate", "sklearn", "scipy", "numpy", "pydantic", "openai",
    "xllamacpp",
)  # fmt: skip


def python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_pgkd_imports_nothing_heavy() -> None:
    loaded = python(f"import pgkd, sys; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_import_and_distil_open_no_connection_beyond_this_machine() -> None:
    """Every connect and name lookup raises; a run with the fake teacher has to finish."""
    code = """
import socket
def refuse(*a, **k): raise AssertionError(f"network: {a}")
socket.socket.connect = socket.getaddrinfo = refuse
import tempfile, pgkd
from tests.conftest import make_rows
out = tempfile.mkdtemp() + "/run"
done = pgkd.Distiller(teacher="fake", student={"kind": "linear"}, rounds=1, samples=4, out=out)
print(done.fit(*make_rows(6)).outcome_.stopped_by)
"""
    assert python(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}") == "rounds"


def test_the_command_line_starts_without_the_heavy_parts() -> None:
    loaded = python(
        "import pgkd.apps.cli, sys; print([m for m in ('torch', 'transformers', 'sklearn') "
        "if m in sys.modules])"
    )
    assert loaded == "[]"


def test_every_public_name_is_there() -> None:
    import pgkd

    for name in pgkd.__all__:
        assert getattr(pgkd, name) is not None


def test_the_wheel_contains_no_weights(tmp_path: Path) -> None:
    build = [
        sys.executable, "-c",
        "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))",
        str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(build, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    suffixes = {Path(name).suffix for name in names if ".dist-info/" not in name}
    assert suffixes <= {".py", ".j2", ".typed", ".html", ".js", ".css", ".txt"}
    assert "pgkd/apps/server/page/page.html" in names
    assert "pgkd/tasks/classification/prompts/templates/write_user.j2" in names
    assert "pgkd/py.typed" in names
    assert wheel.stat().st_size < 1_000_000
