"""`pgkd ui`: the web UI. Runs side by side, a run as it goes on, and the review of its texts.

It shows what the files of a run say, and does nothing that the command line does not: it writes
signals and decisions where the loop reads them, and starts the same commands.

``gate.py`` keeps strangers out, ``app.py`` has the endpoints, ``views.py`` what their pages show;
``runs.py`` finds runs, ``queue.py`` sorts texts to review, ``reading.py`` lets the student read
them, ``starting.py`` makes settings of a dropped file, ``jobs.py`` starts commands;
``process.py`` runs it all.
"""

from pgkd.apps.ui.process import open_ui

__all__ = ["open_ui"]
