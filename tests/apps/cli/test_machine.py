"""What is odd about the machine is told in one line, before the work; and how commands end."""

from __future__ import annotations

import csv
import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pgkd import teachers
from pgkd.apps import cli
from pgkd.distiller import Distiller
from pgkd.errors import ConfigError, TeacherError
from pgkd.tasks.classification.data.dataset import read_rows
from pgkd.tasks.classification.data.examples import read_taxonomy
from pgkd.tasks.classification.students import load_student
from pgkd.teachers import make_teacher
from pgkd.teachers.base import Reply, Request
from pgkd.teachers.fake import FakeTeacher
from tests.apps.cli.test_commands import run, write
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("--teacher", "fake", "--student", "linear", "--rounds", 1, "--samples", 4)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "rows.csv", 10)


def ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *given: Any) -> str:
    """What `main` prints to standard error, of a command that fails."""
    monkeypatch.setattr(sys, "argv", ["pgkd", *map(str, given)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device. Make room"),
        (OSError(errno.EROFS, "Read-only file system", "/ro/x"), "/ro/x: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
    ],
)
def test_an_error_of_the_machine_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path,
    error: OSError, told: str,
) -> None:  # fmt: skip
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("pgkd.files.write_whole", fails)
    printed = ends(monkeypatch, capsys, "init", data, "--out", data.with_name("p.yaml"))
    assert printed.startswith("pgkd: ")
    assert told in printed
    assert printed.count("\n") == 1


def test_messages_cannot_drive_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("te\x1b[2Jxt,label\nx,a\n", encoding="utf-8")
    assert "\x1b" not in ends(monkeypatch, capsys, "init", tmp_path / "rows.csv")


def test_init_makes_the_folder_that_it_writes_to(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "deep" / "pgkd.yaml"
    run("init", data, "--out", out)
    run("distill", "--config", out, *QUICK, "--out", tmp_path / "run")


@pytest.mark.parametrize("out", ["rows.csv/pgkd.yaml", "."])
def test_init_refuses_what_is_no_place_for_a_file(data: Path, out: str) -> None:
    with pytest.raises(ConfigError, match="is no folder|is a folder"):
        run("init", data, "--out", data.parent / out)


@pytest.mark.parametrize(
    "odd", [("don\x92t", "a\x7fb", "x\u2028y", "null"), ("=A", "-1", "+1", "a: b #c")]
)
def test_any_label_survives_init_distill_and_label(tmp_path: Path, odd: tuple[str, ...]) -> None:
    texts, labels = make_rows(6)
    names = dict(zip(sorted(set(labels)), odd, strict=True))
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        rows = zip(texts, (names[label] for label in labels), strict=True)
        csv.writer(file).writerows([("text", "label"), *rows])
    run("init", tmp_path / "rows.csv", "--out", tmp_path / "pgkd.yaml")
    assert set(read_taxonomy(tmp_path / "classes.yaml").names) == set(odd)
    run("distill", "--config", tmp_path / "pgkd.yaml", *QUICK, "--out", tmp_path / "run")
    classes = set(load_student(tmp_path / "run" / "students" / "best").classes)
    assert classes == set(odd)
    run("predict", tmp_path / "run", "--data", tmp_path / "rows.csv", "--out", tmp_path / "out.csv")
    answered = read_rows(tmp_path / "out.csv", "text", "label", classes=odd)
    assert answered[0] == texts
    assert set(answered[1]) <= set(odd)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ALL_PROXY", "ftp://127.0.0.1:1", 'unknown proxy scheme "ftp"'),
        ("http_proxy", "http://[::1", "http_proxy is not a valid proxy address"),
        ("SSL_CERT_FILE", "/missing.pem", "/missing.pem, which does not exist"),
        ("SSL_CERT_DIR", "/missing", "/missing, which does not exist"),
        ("SSL_CERT_FILE", __file__, "no certificates"),
    ],
)
def test_a_way_to_an_endpoint_that_is_none_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    for provider in ("openai", "anthropic"):
        with pytest.raises(ConfigError, match=variable) as caught:
            make_teacher(provider, base_url="http://127.0.0.1:9/v1")
        assert told in str(caught.value)


def test_a_socks_proxy_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080")
    monkeypatch.setattr("pgkd.teachers.endpoint.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="SOCKS") as caught:
        make_teacher("openai", base_url="http://127.0.0.1:9/v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1/v1", "http://host:port/v1"])
def test_a_base_url_that_is_no_address_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.base_url"):
        make_teacher("openai", base_url=url)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_an_address_of_the_environment_that_is_none_is_told(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{provider.upper()}_API_KEY", "sk-test")
    monkeypatch.setenv(f"{provider.upper()}_BASE_URL", "http://[::1/v1")
    with pytest.raises(ConfigError, match=f"{provider.upper()}_BASE_URL is not a valid address"):
        make_teacher(provider, model="m")


class Teaching(FakeTeacher):
    """Answers nothing that can be used, or is interrupted."""

    def __init__(self, *, interrupt: bool = False) -> None:
        super().__init__()
        self._interrupt = interrupt

    def complete(self, request: Request) -> Reply:
        if self._interrupt:
            raise KeyboardInterrupt
        return Reply("nothing", "fake", 1, 1, 0.0)


@pytest.mark.parametrize(("interrupt", "status"), [(True, 130), (False, 1)])
def test_a_run_that_did_not_end_as_meant_stops_a_script(
    monkeypatch: pytest.MonkeyPatch, data: Path, interrupt: bool, status: int
) -> None:
    monkeypatch.setitem(teachers._OWN, "fake", lambda: Teaching(interrupt=interrupt))
    run("distill", "--train", data, *QUICK, "--out", data.with_name("run"), code=status)
    # Interrupted while the teacher is examined, it has trained nothing yet.
    assert (data.with_name("run") / "students" / "best").is_dir() is not interrupt


def test_label_that_labels_nothing_stops_a_script(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setitem(teachers._OWN, "fake", Teaching)
    with pytest.raises(TeacherError, match="for none of"):
        run("label", data, "--examples", data, "--teacher", "fake",
            "--out", data.with_name("labels.csv"))  # fmt: skip


def piped(*given: Any, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pgkd", *map(str, given)]
    return subprocess.run(command, capture_output=True, check=False, **settings)


@pytest.mark.parametrize(("encoding", "form"), [("cp1252", ()), ("ascii", ("--json",))])
def test_a_terminal_of_another_encoding_gets_escapes(
    tmp_path: Path, encoding: str, form: tuple[str, ...]
) -> None:
    texts = [f"密码 {i} 无法重置" if i % 2 else f"包裹 {i} 没有到" for i in range(20)]
    labels = ["账户" if i % 2 else "物流" for i in range(20)]
    Distiller(teacher="fake", student={"kind": "linear"}, rounds=0, out=tmp_path / "run").fit(
        texts, labels
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = piped("predict", tmp_path / "run", "密码", *form, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"\\u8d26\\u6237" in done.stdout


def test_a_closed_standard_input_is_told(data: Path) -> None:
    run("distill", "--train", data, *QUICK, "--out", data.with_name("run"))
    done = piped(
        "predict", data.with_name("run"), "--data", "-", "--out", "-",
        preexec_fn=lambda: os.close(0),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == b"pgkd: Standard input is closed: give a file.\n"


def test_a_folder_that_takes_no_file_is_told_before_the_work(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    # Not by permissions: root may write anywhere.
    monkeypatch.setattr(os, "access", lambda _, mode, **__: not mode & os.W_OK)
    for given in (
        ("init", data, "--out", data.with_name("pgkd.yaml")),
        ("label", data, "--examples", data, "--teacher", "fake", "--out", data.parent / "x.csv"),
    ):
        with pytest.raises(ConfigError, match="cannot be written to"):
            run(*given)
    assert [path.name for path in data.parent.iterdir()] == [data.name]
