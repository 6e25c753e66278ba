"""What a stranger's node might try. It declares no permission, so none of it works."""

import os
import socket


def execute(context, *, home):
    """Return for each attempt why it failed; an attempt that works returns ``it could``."""
    attempts = {
        "list the home folder": lambda: os.listdir(home),
        "list the keys in ~/.ssh": lambda: os.listdir(os.path.join(home, ".ssh")),
        "open a socket": lambda: socket.create_connection(("127.0.0.1", 80), timeout=1),
        "write to the home folder": lambda: open(os.path.join(home, ".profile"), "a").close(),
        "run a program": lambda: os.execv("/bin/sh", ["sh"]),
        "read another process": lambda: open(f"/proc/{os.getppid()}/environ", "rb").close(),
    }
    tried = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except PermissionError as error:
            tried[name] = f"refused: {error.strerror}"
        except FileNotFoundError:
            tried[name] = "nothing is there"
        except OSError as error:
            tried[name] = f"not refused, but failed: {error.strerror}"
        else:
            tried[name] = "it could"
    return {"tried": tried}
