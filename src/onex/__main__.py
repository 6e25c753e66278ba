"""The command line's way in: ``python -m onex``, ``onex`` and ``onexr``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        # Asked for by scripts and prompts, so it must cost no import.
        from onex import __version__

        print(f"onex {__version__}")
        return
    from onex.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
