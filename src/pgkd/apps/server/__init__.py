"""`pgkd serve`: an export over HTTP, without torch.

`process.py` starts the server, `workers.py` keeps one process per core alive, `http.py` bounds what
clients send, `app.py` has the endpoints, `batching.py` feeds the model, and `cascade.py` passes
uncertain texts on to the teacher.
"""

from pgkd.apps.server.process import Limits, serve

__all__ = ["Limits", "serve"]
