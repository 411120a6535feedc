"""Without the token, from another host or another site, the web UI answers nothing."""

from __future__ import annotations

import http.client
import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from pgkd.apps.cli import app
from pgkd.errors import ConfigError
from pgkd.runs.review import Reviews
from tests.apps.ui.conftest import WebUI, opened, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgkd.runs.folder import RunFolder

PATHS = (
    "/", "/now", "/runs/plain", "/runs/plain/now", "/runs/plain/review", "/runs/plain/changes",
    "/runs/plain/editor?id=r1-0001-1", "/runs/plain/retrain", "/runs/nothing", "/nothing",
    "/static/ui.js", "/static/ui.css", "/openapi.json", "/docs", "/new",
)  # fmt: skip
ACTIONS = (
    "/runs/plain/control",
    "/runs/plain/resume",
    "/runs/plain/decisions",
    "/runs/plain/retrain",
    "/new/file",
    "/new",
)


@pytest.fixture(scope="module")
def ui(made: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    folder = tmp_path_factory.mktemp("gate")
    shutil.copytree(made.path, folder / "plain")
    with opened(folder) as ui:
        yield ui


def decision(ui: WebUI) -> str:
    return f"id={run_of(ui).synthetic()[0].id}&decision=accept"


def nothing(answer: tuple[int, dict[str, str], bytes]) -> bool:
    status, headers, body = answer
    return status == 403 and body == b"" and "set-cookie" not in headers


@pytest.mark.parametrize("path", [*PATHS, *ACTIONS])
def test_without_the_token_nothing_is_answered(ui: WebUI, path: str) -> None:
    own = {"Origin": ui.origin}
    wrong = "x" * len(ui.token)
    joined = f"{path}{'&' if '?' in path else '?'}"
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert nothing(ui.request(method, path, headers=own))
        assert nothing(ui.request(method, f"{joined}token={wrong}", headers=own))
        assert nothing(ui.request(method, f"{joined}token=", headers=own))
        cookie = {**own, "Cookie": f"pgkd-ui-{ui.port}={wrong}"}
        assert nothing(ui.request(method, path, headers=cookie))
    assert nothing(ui.request("POST", f"{joined}token={ui.token}", headers=own))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}",
        "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}", "", "[::ffff:127.0.0.1]:{port}",
    ],
)  # fmt: skip
def test_another_host_is_answered_nothing(ui: WebUI, host: str) -> None:
    """DNS rebinding: a page of the name that was made to point here has the user's browser."""
    headers = {"Host": host.format(port=ui.port), "Cookie": ui.cookie}
    for path in PATHS:
        assert nothing(ui.request("GET", path, headers=headers))
    assert nothing(ui.request("GET", f"/?token={ui.token}", headers=headers))


def test_two_hosts_are_answered_nothing(ui: WebUI) -> None:
    client = http.client.HTTPConnection("127.0.0.1", ui.port, timeout=30)
    client.putrequest("GET", "/", skip_host=True)
    client.putheader("Host", f"127.0.0.1:{ui.port}")
    client.putheader("Host", "evil.example")
    client.putheader("Cookie", ui.cookie)
    client.endheaders()
    assert client.getresponse().status in (400, 403)
    client.close()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_another_site_began_is_answered_nothing(ui: WebUI, site: str, method: str) -> None:
    headers = {"Cookie": ui.cookie, "Sec-Fetch-Site": site, "Origin": ui.origin}
    for path in PATHS if method == "GET" else ACTIONS:
        assert nothing(ui.request(method, path, headers=headers))
    assert nothing(ui.request("GET", f"/?token={ui.token}", headers=headers))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", None]
)
@pytest.mark.parametrize("path", ACTIONS)
def test_a_deed_of_another_origin_is_not_done(ui: WebUI, origin: str | None, path: str) -> None:
    headers = {"Cookie": ui.cookie, "Content-Type": "application/x-www-form-urlencoded"}
    if origin is not None:
        headers["Origin"] = origin.format(port=ui.port)
    assert nothing(ui.request("POST", path, headers=headers, body=decision(ui)))
    assert Reviews(ui.path / "plain").latest() == {}


def test_the_token_lets_in_once_and_leaves_the_address(ui: WebUI) -> None:
    status, headers, _ = ui.request("GET", f"/runs/plain/review?why=written&token={ui.token}")
    assert status == 303
    assert headers["location"] == "/runs/plain/review?why=written"
    cookie = headers["set-cookie"]
    assert ui.cookie in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {p.strip() for p in cookie.split(";")}
    assert ui.get("/")[0] == 200


def test_the_token_leads_to_no_other_site(ui: WebUI) -> None:
    for path in ("//evil.example/", "/\\evil.example/", "///evil.example"):
        _, headers, _ = ui.request("GET", f"{path}?token={ui.token}")
        assert not headers.get("location", "/").startswith(("//", "/\\", "http"))


def test_pages_run_no_script_but_their_own(ui: WebUI) -> None:
    status, headers, body = ui.request("GET", "/", headers={"Cookie": ui.cookie})
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert b"<script>" not in body
    assert ui.token.encode() not in body


def test_paths_do_not_leave_the_folder(ui: WebUI) -> None:
    (ui.path.parent / "outside").mkdir(exist_ok=True)
    (ui.path.parent / "outside" / "config.yaml").write_text("rounds: 1")
    for path in ("/runs/..%2Foutside", "/runs/%2e%2e/outside", "/static/..%2Fapp.py", "/runs/.."):
        assert ui.get(path)[0] in (403, 404, 422)


def test_only_loopback_is_listened_at(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        result = CliRunner().invoke(app, ["ui", str(tmp_path), "--host", host])
        assert isinstance(result.exception, ConfigError)
        assert "loopback only" in str(result.exception)


def test_each_opening_has_a_token_of_its_own(ui: WebUI, tmp_path: Path) -> None:
    with opened(tmp_path) as other:
        assert other.token != ui.token
        assert len(other.token) >= 40
        assert nothing(other.request("GET", "/", headers={"Cookie": ui.cookie}))
        assert other.close() == 0
