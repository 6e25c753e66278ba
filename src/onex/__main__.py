"""The command line's way in: ``python -m onex``, ``onex`` and ``onexr``."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run a command and exit with its code."""
    _open_standard_streams()
    if sys.argv[1:] == ["--version"]:
        # Asked for by scripts and prompts, so it must cost no import.
        from onex import __version__

        print(f"onex {__version__}")
        return
    if sys.argv[1:2] == ["__complete"]:
        # Asked for at every press of a key.
        from onex.cli.completing import complete

        print("\n".join(complete(*sys.argv[2:4])))
        return
    _set_defaults()
    from onex.cli.main import run

    sys.exit(run(sys.argv[1:]))


def _set_defaults() -> None:
    """Undo what a caller set that would hide what happens here."""
    import signal

    if hasattr(signal, "SIGCHLD"):
        # Ignored, the system forgets how child processes ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        # What the caller's encoding cannot hold is shown by its number.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_standard_streams() -> None:
    """Open what the caller closed, since files would take the place of these descriptors."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None and descriptor != null:
            os.dup2(null, descriptor)
    # They stay open as long as the process, as the streams that they replace do.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
