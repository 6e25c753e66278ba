"""A Dask cluster of this machine's own: a program that runs it until its standard input ends.

It is a process of its own, so that its workers never import the program of whoever starts a run,
and that nothing is left of it when that program ends, however that comes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys

END_SECONDS = 15.0


class OwnCluster:
    """A cluster for one run."""

    def __init__(self, jobs: int) -> None:
        """Start it for so many calls at once; raises OSError if it does not start."""
        workers = max(1, min(jobs, os.cpu_count() or 1))
        command = (sys.executable, "-m", __name__, str(workers), str(-(-jobs // workers)))
        # In a session of its own: a key pressed in the terminal is the run's to answer.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.address = self._read_address()

    def _read_address(self) -> str:
        output = self._process.stdout
        address = "" if output is None else output.readline().decode().strip()
        if not address:
            self.close()
            raise OSError("its processes did not start")
        return address

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

    workers, threads = map(int, sys.argv[1:3])
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        sys.stdout.write(f"{cluster.scheduler_address}\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
