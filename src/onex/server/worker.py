"""One of several processes of a server: ``python -m onex.server.worker SETTINGS``."""

from __future__ import annotations

import os
import signal
import sys

from onex.server.serving import serve_socket, worker_settings


def main() -> None:
    """Serve the socket that was handed over, until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with worker_settings(sys.argv[1]) as (settings, listener, tls):
        files = (tls[0], tls[1]) if tls else None
        serve_socket(settings, listener, files, _announce_ready, parent_pipe=sys.stdin.fileno())


def _announce_ready() -> None:
    os.write(sys.stdout.fileno(), b"ready\n")


if __name__ == "__main__":
    main()
