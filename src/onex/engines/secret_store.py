"""SecretStore: where the secrets come from that nodes are granted."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from onex.domain.errors import Location, SecretsNotPrivateError
from onex.domain.permission import Permission
from onex.worker.context import SECRET_PREFIX

SECRETS_FOLDER = Path("/run/secrets")
MAXIMUM_SECRET_BYTES = 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


def is_secret_name(text: str) -> bool:
    """Whether a text can be the name of one secret."""
    return _NAME.fullmatch(text) is not None


class SecretStore:
    """Looks secrets up: first in the environment, then in a folder, then in a private file."""

    def __init__(
        self,
        environment: Mapping[str, str],
        file: Path | None = None,
        folder: Path = SECRETS_FOLDER,
    ) -> None:
        """``file`` is TOML of names and texts; ``folder`` holds one file for each secret."""
        self._environment = environment
        self._file = file
        self._folder = folder

    def find(self, names: Sequence[str]) -> dict[str, str]:
        """Those of the named secrets that are set.

        Raises:
            SecretsNotPrivateError: the file of secrets is open to others, or no such file.
        """
        found = {name: self._find(name) for name in names if is_secret_name(name)}
        return {name: secret for name, secret in found.items() if secret is not None}

    def _find(self, name: str) -> str | None:
        if SECRET_PREFIX + name in self._environment:
            return self._environment[SECRET_PREFIX + name]
        try:
            with (self._folder / name).open("rb") as stream:
                return stream.read(MAXIMUM_SECRET_BYTES).decode("utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError):
            return self._in_file.get(name)

    @cached_property
    def _in_file(self) -> Mapping[str, str]:
        if self._file is None:
            return {}
        try:
            # Opened first and asked then: what is checked is what is read.
            with self._file.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise self._refusal("is not a regular file")
                if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
                    raise self._refusal("can be read or written by others")
                if os.name == "posix" and status.st_uid not in (os.getuid(), 0):
                    raise self._refusal("belongs to somebody else")
                body = tomllib.load(stream)
        except OSError as error:
            raise self._refusal(f"cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise self._refusal(f"is not TOML: {error}") from error
        return {name: value for name, value in body.items() if isinstance(value, str)}

    def _refusal(self, reason: str) -> SecretsNotPrivateError:
        return SecretsNotPrivateError(
            f"the file of secrets {reason}",
            hint='write NAME = "secret" lines into a file of yours, and chmod 600 it',
            location=Location(str(self._file)),
        )


def secrets_among(permissions: Sequence[Permission]) -> list[str]:
    """What is granted of secrets: their names, and texts that name none."""
    return [p.resource for p in permissions if p.kind == "secret.access"]


def missing_secret(wanted: Sequence[str], found: Mapping[str, str]) -> str | None:
    """The first name of a secret that was not found; None if none is missing."""
    return next((name for name in wanted if is_secret_name(name) and name not in found), None)
