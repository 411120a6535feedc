"""What the pages of the web UI show, and what comes of a press of a button."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import PackageLoader

from pgkd import __version__
from pgkd.apps.report.content import Snippet
from pgkd.apps.report.page import environment
from pgkd.apps.ui.desk import Desk
from pgkd.apps.ui.jobs import Jobs
from pgkd.apps.ui.live import live_of
from pgkd.apps.ui.queue import Filter, Why
from pgkd.apps.ui.runs import Runs, Seen, state_of
from pgkd.apps.ui.starting_views import StartingViews
from pgkd.errors import DataError, RunError
from pgkd.runs.control import SIGNALS, send_signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TEXT = 1200  # characters of a text in the queue
_DECIDED = ("open", "decided", "all")
_MANY_CHANGES = 200  # cards: a tab that missed more than these loads its page again


class Views:
    """Makes the pages.

    Args:
        path: a run folder, or a folder of runs.
        who: the name that decisions are written down with.
    """

    def __init__(self, path: Path, who: str) -> None:
        self.runs = Runs(path)
        self.who = who
        self.jobs = Jobs()
        self._desks: dict[str, Desk] = {}
        self._mutex = threading.Lock()
        self._pages = environment(PackageLoader("pgkd.apps.ui", "pages"))
        self._pages.globals |= {"version": __version__, "who": who, "single": self.runs.single}
        self._pages.filters |= {"cut": lambda text: Snippet.of(text, _TEXT)}
        self.starting = StartingViews(self.runs, self.jobs, self._render)

    def overview(self) -> str:
        """All runs side by side."""
        return self._render("runs.html.j2", **self._overview())

    def overview_now(self, version: str) -> str | None:
        """The table of all runs; None where the page has this one already."""
        return self._anew("_runs.html.j2", version, **self._overview())

    def _overview(self) -> dict[str, Any]:
        lines = [
            (name, seen, seen and state_of(seen), trouble)
            for name, seen, trouble in self.runs.lines()
        ]
        return {"lines": lines, "root": self.runs.root.name}

    def run(self, name: str) -> str:
        """A run as it goes on."""
        return self._render("run.html.j2", **self._run(name))

    def run_now(self, name: str, version: str) -> str | None:
        """The part of a run's page that changes; None where the page has this one already."""
        return self._anew("_run.html.j2", version, **self._run(name))

    def _run(self, name: str) -> dict[str, Any]:
        seen = self.runs.see(name)
        return {"name": name, "seen": seen, "live": live_of(seen), "job": self.jobs.told(name)}

    def control(self, name: str, form: Mapping[str, str]) -> str:
        """Send a signal to a run that goes on.

        Raises:
            DataError: there is no such signal.
            RunError: nobody runs it, or the signal cannot be written.
        """
        wanted = form.get("signal", "")
        run = self.runs.open(name)
        if wanted not in SIGNALS:
            raise DataError(f"There is no signal '{wanted}'.")
        if not run.is_running():
            raise RunError("No process runs this run now.")
        send_signal(run, wanted, self.who)
        return self.run_now(name, "") or ""

    def resume(self, name: str) -> str:
        """Start `pgkd distill` with the settings of a run that was cut off, or ended early.

        Raises:
            RunError: it goes on.
        """
        run = self.runs.see(name).run
        if run.is_running():
            raise RunError("This run goes on already.")
        settings = ["--config", str(run.path / "config.yaml"), "--out", str(run.path)]
        self.jobs.start(name, ["distill", *settings], run.path / ".distill.log")
        return self.run_now(name, "") or ""

    def review(self, name: str, query: Mapping[str, str]) -> str:
        """A page of the review."""
        seen, desk = self._desk(name)
        wanted = _filter(query)
        sheet = desk.sheet(seen, wanted, _number(query.get("from")) or 0)

        def at(rank: int) -> str:
            return "?" + urlencode({**_query(wanted), "from": rank})

        return self._render(
            "review.html.j2", name=name, sheet=sheet, progress=sheet.progress, wanted=wanted,
            reasons=[why for why in Why if sheet.reasons[why]], all_classes=desk.classes,
            tally=desk.tally(seen), at=at, retraining=self._retraining(name, seen),
        )  # fmt: skip

    def changes(self, name: str, query: Mapping[str, str]) -> str | None:
        """Cards that were decided on since a page was made; None where there are none.

        Where the student was still reading then and is done now, that is told, too.
        """
        seen, desk = self._desk(name)
        since, reading = _number(query.get("since")) or 0, query.get("reading") == "1"
        tally = desk.tally(seen)
        progress = desk.queue(seen)[1]
        if tally.lines == since and not reading:
            return None
        cards = desk.changed(seen, since)[-_MANY_CHANGES:]
        return self._render(
            "_changes.html.j2", name=name, cards=cards, tally=tally, progress=progress,
            was_reading=reading,
        )  # fmt: skip

    def decide(self, name: str, form: Mapping[str, str]) -> str:
        """Write a decision down.

        Raises:
            ConflictError: somebody else has decided meanwhile.
            DataError: it makes no sense.
            RunError: there is no such run or text, or it cannot be written down.
        """
        seen, desk = self._desk(name)
        card = desk.decide(
            seen, form.get("id", ""), form.get("decision", ""), self.who,
            label=form.get("label"), text=form.get("text"), known=_number(form.get("seen")),
        )  # fmt: skip
        return self._render("_decided.html.j2", name=name, card=card, tally=desk.tally(seen))

    def editor(self, name: str, query: Mapping[str, str]) -> str:
        """The form to edit a text, with all of it.

        Raises:
            RunError: there is no such run or text.
        """
        seen, desk = self._desk(name)
        return self._render("_editor.html.j2", name=name, card=desk.card(seen, query.get("id", "")))

    def retrain(self, name: str) -> str:
        """Start `pgkd retrain`.

        Raises:
            RunError: it is being done already, or the run goes on.
        """
        seen = self.runs.see(name)
        if seen.run.is_running():
            raise RunError("This run goes on: its next round uses the decisions by itself.")
        log = seen.run.path / ".retrain.log"
        self.jobs.start(f"retrain {name}", ["retrain", str(seen.run.path)], log)
        return self.retraining(name)

    def retraining(self, name: str) -> str:
        """How a new training is, or what came of the last one."""
        return self._render("_retraining.html.j2", **self._retraining(name, self.runs.see(name)))

    def _retraining(self, name: str, seen: Seen) -> dict[str, Any]:
        done = os.path.lexists(seen.run.path / "reviewed.json")
        job = self.jobs.told(f"retrain {name}")
        return {
            "name": name,
            "job": job,
            "found": seen.run.read_json("reviewed.json") if done else None,
            "held_out": bool(seen.about.validation),
            "goes_on": seen.run.is_running(),
        }

    def trouble(self, message: str) -> str:
        """A page that says what is wrong."""
        return self._render("trouble.html.j2", message=message)

    def _desk(self, name: str) -> tuple[Seen, Desk]:
        seen = self.runs.see(name)
        with self._mutex:
            if name not in self._desks:
                self._desks[name] = Desk(seen)
            return seen, self._desks[name]

    def _render(self, template: str, **content: Any) -> str:
        return self._pages.get_template(template).render(**content)

    def _anew(self, template: str, version: str, **content: Any) -> str | None:
        """A part of a page with its version, where it is another one than the page has."""
        part = self._render(template, **content)
        new = hashlib.sha256(part.encode("utf-8", "replace")).hexdigest()[:16]
        return None if new == version else part.replace(VERSION, new)


VERSION = "@version@"
"""Stands in a template for the version of what it makes."""


def _filter(query: Mapping[str, str]) -> Filter:
    decided = query.get("decided", "open")
    return Filter(
        label=query.get("class") or None,
        round=_number(query.get("round")),
        why=query.get("why") or None,
        decided=decided if decided in _DECIDED else "open",  # type: ignore[arg-type]
        words=query.get("words", "").strip(),
    )


def _query(wanted: Filter) -> dict[str, str]:
    """The filter as the part of an address."""
    given = {
        "class": wanted.label, "round": wanted.round, "why": wanted.why,
        "decided": wanted.decided, "words": wanted.words,
    }  # fmt: skip
    return {name: str(value) for name, value in given.items() if value not in (None, "")}


def _number(given: str | None) -> int | None:
    """A number of an address or a form; None where it is none."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 10 else None
