"""Credentials: the tokens with which this user asks registries, in a file of their own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from onex.domain.errors import ConfigurationError
from onex.local_machine import locked, make_folder, replace_file

TOKEN_VARIABLE = "ONEX_TOKEN"
FILE_NAME = "credentials.json"
_PRIVATE = 0o600
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]+")


class Credentials:
    """Tokens by the URLs of registries; the environment goes before the file."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._file = folder / FILE_NAME
        self._environment = environment

    def token(self, remote: str, url: str, *, is_named: bool = True) -> str | None:
        """The token for a remote: ``ONEX_TOKEN_NAME``, or what ``store`` kept for its URL.

        Without ``is_named`` the variable of its name may be meant for another remote.

        Raises:
            ConfigurationError: what is kept or set is no token, or may be another remote's.
        """
        variable = variable_of(remote)
        found = self._environment.get(variable, "").strip() if variable else ""
        if found and not is_named:
            raise ConfigurationError(
                f"{variable} may be meant for several remotes",
                hint="give them names that differ in letters or digits",
            )
        found = found or self._read().get(_key(url), "")
        if not (found.isascii() and found.isprintable()) or " " in found:
            raise ConfigurationError(
                f"what is set as the token for {remote} is none",
                hint=f"see onex login, and {variable or TOKEN_VARIABLE}",
            )
        return found or None

    def store(self, url: str, token: str) -> None:
        """Keep a token; raises FileNotWrittenError."""
        self._edit(url, token)

    def remove(self, url: str) -> bool:
        """Forget the token for a URL; returns whether there was one."""
        if _key(url) not in self._read():
            return False
        self._edit(url, None)
        return True

    def _edit(self, url: str, token: str | None) -> None:
        make_folder(self._file.parent)
        with locked(self._file.parent):
            tokens = self._read()
            tokens.pop(_key(url), None)
            if token is not None:
                tokens[_key(url)] = token
            if not self._file.exists():
                # Private before anything is in it; a file that is replaced keeps its mode.
                os.close(os.open(self._file, os.O_CREAT | os.O_WRONLY, _PRIVATE))
            self._file.chmod(_PRIVATE)
            replace_file(self._file, (json.dumps(tokens, indent=1) + "\n").encode())

    def _read(self) -> dict[str, str]:
        try:
            if os.name == "posix" and self._file.stat().st_mode & 0o077:
                raise ConfigurationError(
                    f"others may read {self._file}",
                    hint=f"chmod 600 {self._file}, and have its tokens revoked",
                )
            body = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self._file} cannot be read: {error}", hint="remove it, and onex login again"
            ) from error
        return {str(k): str(v) for k, v in body.items()} if isinstance(body, dict) else {}


def variable_of(remote: str) -> str | None:
    """The variable with the token for a remote; None if its name has no letters and digits."""
    name = _NOT_IN_NAMES.sub("_", remote.upper())
    return f"{TOKEN_VARIABLE}_{name}" if name.strip("_") else None


def _key(url: str) -> str:
    return url.rstrip("/")
