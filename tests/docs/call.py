"""`pgkd` in the shell of a page: hands its arguments and files to the warm process, and waits."""

import json
import os
import signal
import socket
import sys

with socket.socket(socket.AF_UNIX) as warm:
    warm.connect(os.environ["PAGE_WARM"])
    folder = os.getcwd()  # noqa: PTH109  (to import pathlib takes longer than all of this)
    asked = {"arguments": sys.argv[1:], "folder": folder, "environment": dict(os.environ)}
    socket.send_fds(warm, [json.dumps(asked).encode()], [0, 1, 2])
    child = int.from_bytes(warm.recv(8, socket.MSG_WAITALL), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: os.kill(child, received))
    code = warm.recv(1)
sys.exit(code[0] if code else 1)
