"""A Dask cluster of this machine's own: a program that runs it until its standard input ends.

Connections are encrypted with keys that are made for it and written to no file, so that neither
other users of the machine nor nodes that may connect to it can use it. It is a process of its own,
so that its workers never import the program of whoever starts a run,
and that nothing is left of it when that program ends, however that comes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed.security import Security

END_SECONDS = 15.0


class OwnCluster:
    """A cluster for one run."""

    def __init__(self, jobs: int) -> None:
        """Start it for so many calls at once; raises OSError if it does not start."""
        workers = max(1, min(jobs, os.cpu_count() or 1))
        # What lies in the current folder is not to be imported in place of what is installed.
        command = (sys.executable, "-P", "-m", __name__, str(workers), str(-(-jobs // workers)))
        # In a session of its own: a key pressed in the terminal is the run's to answer.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        output = self._process.stdout
        told = b"" if output is None else output.readline()
        if not told:
            self.close()
            raise OSError("its processes did not start")
        self.address, self._keys = json.loads(told)

    @property
    def security(self) -> Security:
        """What lets this process, and nobody else on the machine, use the cluster."""
        from distributed.security import Security

        return Security(require_encryption=True, **self._keys)

    def close(self) -> None:
        """End the cluster with all its processes."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def main() -> None:
    """Run a cluster of some workers with some threads each, and print its address."""
    from distributed import LocalCluster
    from distributed.security import Security

    workers, threads = map(int, sys.argv[1:3])
    security = Security.temporary()
    with LocalCluster(
        security=security,
        n_workers=workers,
        threads_per_worker=threads,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
        keys = {name: getattr(security, name) for name in names}
        # Whoever started this may have gone meanwhile.
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(f"{json.dumps([cluster.scheduler_address, keys])}\n")
            sys.stdout.flush()
            sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
