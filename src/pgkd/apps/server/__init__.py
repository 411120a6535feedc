"""`pgkd serve`: an export behind HTTP, without torch.

`app.py` holds the endpoints, `batching.py` what stands between them and the model; `guard.py` and
`connection.py` keep out what is too much or too slow; `process.py` runs it all, one process a core.
"""

from pgkd.apps.server.limits import Limits
from pgkd.apps.server.process import serve

__all__ = ["Limits", "serve"]
