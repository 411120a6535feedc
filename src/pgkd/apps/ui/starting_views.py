"""The pages on which a run is filled in and started."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgkd.apps.ui.starting import Draft, class_counts, free_name
from pgkd.config import Config
from pgkd.errors import RunError
from pgkd.teachers import providers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgkd.apps.ui.jobs import Jobs
    from pgkd.apps.ui.runs import Runs

_KEYS = {
    "openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY",
    "bedrock": "AWS's own configuration",
}  # fmt: skip


class StartingViews:
    """Makes these pages.

    Args:
        runs: where the new run goes.
        jobs: starts commands.
        render: makes a page of a template.
    """

    def __init__(self, runs: Runs, jobs: Jobs, render: Callable[..., str]) -> None:
        self._runs = runs
        self._jobs = jobs
        self._render = render
        self._drafts = runs.root / ".ui"

    def begin(self) -> str:
        """Where a file is dropped."""
        self._check()
        return self._render("new.html.j2")

    def file(self, name: str, content: bytes) -> str:
        """Keep a dropped file, and ask what its columns are.

        Raises:
            DataError: it cannot be read.
        """
        self._check()
        draft = Draft.take(self._drafts, name, content)
        return self._render("_columns.html.j2", draft=draft, columns=draft.columns())

    def columns(self, form: Mapping[str, str]) -> str:
        """Read the rows, and ask for all else.

        Raises:
            DataError: lists everything that is wrong with the rows.
            RunError: there is no such draft.
        """
        draft = self._draft(form)
        task = draft.choose(form.get("text", ""), form.get("label", ""))
        return self._render(
            "_settings.html.j2", draft=draft, task=task, counts=class_counts(task),
            defaults=Config.parse({}), providers=providers(), keys=_KEYS,
        )  # fmt: skip

    def estimate(self, form: Mapping[str, str]) -> str:
        """Begin `pgkd distill --dry-run` with what was filled in.

        Raises:
            ConfigError: a setting is wrong.
            RunError: there is no such draft, or it is being estimated already.
        """
        draft = self._draft(form)
        self._write(draft, form)
        arguments = ["distill", "--config", str(draft.config), "--dry-run", "--json"]
        self._jobs.start(f"estimate {draft.id}", arguments, draft.folder / "estimate.log")
        return self.estimated(form)

    def estimated(self, query: Mapping[str, str]) -> str:
        """How far the estimate is, or what it is."""
        draft = self._draft(query)
        job = self._jobs.told(f"estimate {draft.id}")
        found = _last_json(job.last) if job and job.code == 0 else None
        return self._render("_estimate.html.j2", draft=draft, job=job, found=found)

    def start(self, form: Mapping[str, str]) -> str:
        """Begin `pgkd distill` with what was filled in.

        Raises:
            ConfigError: a setting is wrong.
            RunError: there is no such draft, or it was started already.
        """
        draft = self._draft(form)
        name = self._write(draft, form)
        arguments = ["distill", "--config", str(draft.config)]
        self._jobs.start(name, arguments, draft.folder / "distill.log")
        return self.started({"draft": draft.id})[0]

    def started(self, query: Mapping[str, str]) -> tuple[str, str | None]:
        """What became of the start, and the name of the run as soon as it is there."""
        draft = self._draft(query)
        out = draft.settled().out
        name = out.name if out else ""
        there = name in self._runs.names()
        page = self._render("_started.html.j2", draft=draft, job=self._jobs.told(name))
        return page, name if there else None

    def _check(self) -> None:
        if self._runs.single is not None:
            raise RunError(
                "This web UI shows one run. Open it on a folder of runs to start others."
            )

    def _draft(self, form: Mapping[str, str]) -> Draft:
        self._check()
        return Draft.open(self._drafts, form.get("draft", ""))

    def _write(self, draft: Draft, form: Mapping[str, str]) -> str:
        """Write the settings; returns the name of the run."""
        name = free_name(self._runs.root, draft.name)
        draft.write(form, self._runs.root / name)
        return name


def _last_json(printed: str) -> dict[str, Any] | None:
    """The JSON object at the end of what a command printed; None where there is none."""
    start = printed.rfind("\n{") + 1 if not printed.startswith("{") else 0
    try:
        found = json.loads(printed[start:])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
