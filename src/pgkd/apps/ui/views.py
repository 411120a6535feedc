"""The endpoints of the web UI: pages, updates of their parts for htmx, and actions."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import PackageLoader
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from pgkd import __version__
from pgkd.apps.report.content import Snippet
from pgkd.apps.report.page import environment
from pgkd.apps.ui.queue import Decided, Filter, Why
from pgkd.apps.ui.review import ReviewSession, ticked_labels
from pgkd.apps.ui.runs import Runs, Snapshot, live_status
from pgkd.apps.ui.starting import Draft, Jobs, count_classes, free_name
from pgkd.config import Config
from pgkd.errors import DataError, RunError
from pgkd.runs.control import SIGNALS, send_signal
from pgkd.teachers import providers

_TEXT_CHARS = 1200  # of a text in the queue
_MAX_CHANGES = 200  # cards; a tab that missed more must reload its page
_FORM_BYTES = 4 << 20
_FORM_FIELDS = 20_000  # one a class, and some
_VERSION = "@version@"  # in a template, where the hash of the rendered part goes
_KEYS = {
    "openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY",
    "bedrock": "AWS's own configuration",
}  # fmt: skip


async def _read_form(request: Request) -> dict[str, str]:
    """A form as browsers send it; of repeated fields the last, but for ticked ``labels``."""
    body = await request.body()
    if len(body) > _FORM_BYTES:
        raise HTTPException(413, "The form is too large")
    text = body.decode("utf-8", "replace")
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_FORM_FIELDS)
    except ValueError as error:
        raise HTTPException(413, "The form has too many fields") from error
    ticked = [value for name, value in fields if name == "labels"]
    if ticked:  # the first is an empty one: none may be ticked
        fields.append(("label", json.dumps(ticked[1:], ensure_ascii=False)))
    return dict(fields)


Form = Annotated[dict[str, str], Depends(_read_form)]


def to_html(page: str, status: int = 200) -> Response:
    """An HTML response; lone surrogates, which no encoding has, become question marks."""
    return HTMLResponse(page.encode("utf-8", "replace"), status)


class Views:
    """The endpoints; `app.py` has their routes.

    Args:
        path: a run folder, or a folder of runs.
        who: the name that decisions are recorded under.
    """

    def __init__(self, path: Path, who: str) -> None:
        self._runs = Runs(path)
        self._who = who
        self._jobs = Jobs()
        self._drafts = self._runs.root / ".ui"
        self._sessions: dict[str, ReviewSession] = {}
        self._mutex = threading.Lock()
        self._templates = environment(PackageLoader("pgkd.apps.ui", "pages"))
        self._templates.globals |= {"version": __version__, "who": who, "single": self._runs.single}
        self._templates.filters |= {"cut": lambda text: Snippet.of(text, _TEXT_CHARS)}

    def render(self, template: str, **content: Any) -> str:
        """A page or a part of one."""
        return self._templates.get_template(template).render(**content)

    def _page(self, template: str, **content: Any) -> Response:
        return to_html(self.render(template, **content))

    def _update(self, template: str, version: str, **content: Any) -> Response:
        """A part of a page with its version; 204, which changes nothing, if the page has it."""
        part = self.render(template, **content)
        new = hashlib.sha256(part.encode("utf-8", "replace")).hexdigest()[:16]
        if new == version:
            return Response(status_code=204)
        return to_html(part.replace(_VERSION, new))

    # --- runs ---

    def runs_page(self) -> Response:
        """All runs side by side."""
        return self._page("runs.html.j2", lines=self._runs.snapshots())

    def runs_update(self, version: str = "") -> Response:
        """The table of all runs."""
        return self._update("_runs.html.j2", version, lines=self._runs.snapshots())

    def run_page(self, name: str) -> Response:
        """One run."""
        return self._page("run.html.j2", **self._describe_run(name))

    def run_update(self, name: str, version: str = "") -> Response:
        """The part of a run's page that changes."""
        return self._update("_run.html.j2", version, **self._describe_run(name))

    def _describe_run(self, name: str) -> dict[str, Any]:
        snapshot = self._runs.snapshot(name)
        job = self._jobs.status(name)
        return {"name": name, "run": snapshot, "live": live_status(snapshot), "job": job}

    def control(self, name: str, form: Form) -> Response:
        """Send a signal to a running run."""
        signal = form.get("signal", "")
        run = self._runs.open(name)
        if signal not in SIGNALS:
            raise DataError(f'Unknown signal "{signal}". Choose from: {", ".join(SIGNALS)}.')
        if not run.is_running():
            raise RunError("No process runs this run now.")
        send_signal(run, signal, self._who)
        return self.run_update(name)

    def resume(self, name: str) -> Response:
        """Start `pgkd distill` with the settings of a run that was cut off or ended early."""
        run = self._runs.snapshot(name).run
        if run.is_running():
            raise RunError("This run is running already.")
        settings = ["--config", str(run.path / "config.yaml"), "--out", str(run.path)]
        self._jobs.start(name, ["distill", *settings], run.path / ".distill.log")
        return self.run_update(name)

    # --- review ---

    def review_page(self, name: str, request: Request) -> Response:
        """A page of the review queue."""
        snapshot, session = self._open_review(name)
        query = request.query_params
        wanted = _parse_filter(query)
        sheet = session.sheet(snapshot, wanted, _parse_number(query.get("from")) or 0)

        def link(rank: int) -> str:
            return "?" + urlencode({**_format_filter(wanted), "from": rank})

        return self._page(
            "review.html.j2", name=name, sheet=sheet, progress=sheet.progress, wanted=wanted,
            reasons=[why for why in Why if sheet.reasons[why]], choices=session.choices,
            kind_of_review=session.kind, tally=session.tally(snapshot), link=link,
            retraining=self._describe_retraining(name, snapshot),
        )  # fmt: skip

    def review_update(self, name: str, request: Request) -> Response:
        """Cards decided since a page was made, and whether the student is done reading."""
        snapshot, session = self._open_review(name)
        since = _parse_number(request.query_params.get("since")) or 0
        was_reading = request.query_params.get("reading") == "1"
        tally = session.tally(snapshot)
        progress = session.queue(snapshot)[1]
        if tally.lines == since and not was_reading:
            return Response(status_code=204)
        cards = session.changed(snapshot, since)[-_MAX_CHANGES:]
        return self._page(
            "_changes.html.j2", name=name, cards=cards, tally=tally, progress=progress,
            was_reading=was_reading, kind_of_review=session.kind,
        )  # fmt: skip

    def editor(self, name: str, request: Request) -> Response:
        """The form to edit a text, with all of it."""
        snapshot, session = self._open_review(name)
        card = session.card(snapshot, request.query_params.get("id", ""))
        return self._page(
            "_editor.html.j2", name=name, card=card, choices=session.choices,
            kind_of_review=session.kind, chosen=ticked_labels(card.row.output),
        )  # fmt: skip

    def decide(self, name: str, form: Form) -> Response:
        """Record a decision."""
        snapshot, session = self._open_review(name)
        card = session.decide(
            snapshot, form.get("id", ""), form.get("decision", ""), self._who,
            label=form.get("label"), text=form.get("text"), known=_parse_number(form.get("seen")),
        )  # fmt: skip
        return self._page(
            "_decided.html.j2", name=name, card=card, tally=session.tally(snapshot),
            kind_of_review=session.kind,
        )  # fmt: skip

    def _open_review(self, name: str) -> tuple[Snapshot, ReviewSession]:
        snapshot = self._runs.snapshot(name)
        with self._mutex:
            if name not in self._sessions:
                self._sessions[name] = ReviewSession(snapshot)
            return snapshot, self._sessions[name]

    def retrain(self, name: str) -> Response:
        """Start `pgkd retrain`."""
        run = self._runs.snapshot(name).run
        if run.is_running():
            raise RunError("This run is running: its next round uses the decisions by itself.")
        self._jobs.start(f"retrain {name}", ["retrain", str(run.path)], run.path / ".retrain.log")
        return self.retrain_update(name)

    def retrain_update(self, name: str) -> Response:
        """The state of a retraining, or the results of the last one."""
        retraining = self._describe_retraining(name, self._runs.snapshot(name))
        return self._page("_retraining.html.j2", **retraining)

    def _describe_retraining(self, name: str, snapshot: Snapshot) -> dict[str, Any]:
        done = os.path.lexists(snapshot.run.path / "reviewed.json")
        return {
            "name": name,
            "job": self._jobs.status(f"retrain {name}"),
            "found": snapshot.run.read_json("reviewed.json") if done else None,
            "held_out": bool(snapshot.about.validation),
            "is_running": snapshot.run.is_running(),
        }

    # --- new runs ---

    def new_page(self) -> Response:
        """Where a file is dropped."""
        self._check_several()
        return self._page("new.html.j2")

    async def take_file(self, request: Request, name: str = "") -> Response:
        """Save a dropped file, and ask for its columns."""
        body = await request.body()

        def save() -> Response:
            self._check_several()
            draft = Draft.create(self._drafts, name, body)
            return self._page("_columns.html.j2", draft=draft, columns=draft.columns())

        return await run_in_threadpool(save)

    def choose_columns(self, form: Form) -> Response:
        """Read the rows, and ask for the other settings."""
        draft = self._open_draft(form.get("draft", ""))
        task = draft.choose(form.get("text", ""), form.get("label", ""))
        return self._page(
            "_settings.html.j2", draft=draft, task=task, counts=count_classes(task),
            defaults=Config.parse({}), providers=providers(), keys=_KEYS,
        )  # fmt: skip

    def estimate(self, form: Form) -> Response:
        """Start `pgkd distill --dry-run` with the settings of the form."""
        draft = self._open_draft(form.get("draft", ""))
        self._write_settings(draft, form)
        arguments = ["distill", "--config", str(draft.config), "--dry-run", "--json"]
        self._jobs.start(f"estimate {draft.id}", arguments, draft.folder / "estimate.log")
        return self.estimate_update(draft.id)

    def estimate_update(self, draft: str = "") -> Response:
        """The state of the estimate, or its results."""
        opened = self._open_draft(draft)
        job = self._jobs.status(f"estimate {opened.id}")
        found = _last_json(job.output) if job and job.code == 0 else None
        return self._page("_estimate.html.j2", draft=opened, job=job, found=found)

    def start(self, form: Form) -> Response:
        """Start `pgkd distill` with the settings of the form."""
        draft = self._open_draft(form.get("draft", ""))
        name = self._write_settings(draft, form)
        arguments = ["distill", "--config", str(draft.config)]
        self._jobs.start(name, arguments, draft.folder / "distill.log")
        return self.start_update(draft.id)

    def start_update(self, draft: str = "") -> Response:
        """The state of the start; leads to the run's page as soon as there is one."""
        opened = self._open_draft(draft)
        out = Config.from_yaml(opened.config).out
        name = out.name if out else ""
        response = self._page("_started.html.j2", draft=opened, job=self._jobs.status(name))
        if name in self._runs.names():
            response.headers["hx-redirect"] = f"/runs/{quote(name)}"
        return response

    def _check_several(self) -> None:
        if self._runs.single is not None:
            raise RunError(
                "This web UI shows a single run. Open it on a folder of runs to start others."
            )

    def _open_draft(self, id_: str) -> Draft:
        self._check_several()
        return Draft.open(self._drafts, id_)

    def _write_settings(self, draft: Draft, form: Mapping[str, str]) -> str:
        """Write the settings; returns the name of the run."""
        name = free_name(self._runs.root, draft.name)
        draft.write(form, self._runs.root / name)
        return name


def _parse_filter(query: Mapping[str, str]) -> Filter:
    decided: Decided = "open"
    if query.get("decided") in ("decided", "all"):
        decided = "decided" if query["decided"] == "decided" else "all"
    return Filter(
        output=query.get("class") or None,
        round=_parse_number(query.get("round")),
        why=query.get("why") or None,
        decided=decided,
        words=query.get("words", "").strip(),
    )


def _format_filter(wanted: Filter) -> dict[str, str]:
    """The filter as the query of a URL."""
    given = {
        "class": wanted.output, "round": wanted.round, "why": wanted.why,
        "decided": wanted.decided, "words": wanted.words,
    }  # fmt: skip
    return {name: str(value) for name, value in given.items() if value not in (None, "")}


def _parse_number(given: str | None) -> int | None:
    """A number of a URL or a form; None if it is not one."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 10 else None


def _last_json(printed: str) -> dict[str, Any] | None:
    """The JSON object at the end of a command's output; None if there is none."""
    start = printed.rfind("\n{") + 1 if not printed.startswith("{") else 0
    try:
        found = json.loads(printed[start:])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
