"""McpServer: a server of tools that a source of the kind ``mcp`` declares, pinned to what it is.

What it may do stands in ``onex.toml`` alone: nothing that a server says of itself adds to it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from onex.domain.digest import is_digest
from onex.domain.errors import InvalidPermissionError
from onex.domain.json_value import JsonObject
from onex.domain.permission import Permission
from onex.domain.reference import NAMESPACE

MCP_KIND = "mcp"
ACCEPTED_FOLDER = "mcp"
"""Where the accepted tools of a project's servers lie, a folder for each."""

_KEYS = frozenset({"command", "digest", "certificate", "token", "namespace", "permissions"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server by its command, or by its URL.

    ``command`` begins with the full path of a program; its digest is that of the program and of
    those arguments that are files. A URL is pinned by the digest of its ``certificate`` (DER) or by
    the name of a secret that is its ``token``; on this machine it needs neither. The tools become
    nodes below ``namespace``, which may do what ``permissions`` says beside using the server.
    """

    name: str
    namespace: str
    command: tuple[str, ...] = ()
    digest: str | None = None
    url: str | None = None
    certificate: str | None = None
    token: str | None = None
    permissions: tuple[Permission, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the command: its program, and the arguments that are files."""
        return tuple(
            word
            for i, word in enumerate(self.command)
            if i == 0 or os.path.isfile(word)  # noqa: PTH113 - a text
        )

    @property
    def asked(self) -> tuple[Permission, ...]:
        """Everything that its tools ask for."""
        found: list[Permission] = []
        if self.command:
            program, *others = self.files
            found.append(Permission("process.execute", program))
            found += [Permission("file.read", file) for file in others]
        elif self.url is not None:
            parts = urlsplit(self.url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
            found.append(Permission.parse(f"network.connect:{host}:{port}"))
        if self.token is not None:
            found.append(Permission("secret.access", self.token))
        return tuple(dict.fromkeys((*found, *self.permissions)))

    def to_json(self) -> JsonObject:
        """What the nodes of its tools need to know."""
        return {
            "name": self.name,
            "command": list(self.command),
            "files": list(self.files) if self.command else [],
            "digest": self.digest,
            "url": self.url,
            "certificate": self.certificate,
            "token": self.token,
        }


def read_mcp_server(name: str, url: str | None, options: JsonObject, folder: Path) -> McpServer:
    """Read the keys of a source of the kind ``mcp`` in a file of a folder.

    Raises:
        ValueError: a key or a value is wrong; the message is the rest of a sentence.
    """
    unknown = sorted(set(options) - _KEYS)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no key of a source of the kind mcp")
    command = _command(options.get("command", []), folder)
    if bool(command) == bool(url):
        raise ValueError('a source of the kind mcp needs command = ["/path/of/it"], or a url')
    namespace = options.get("namespace")
    if not isinstance(namespace, str) or not NAMESPACE.fullmatch(namespace):
        raise ValueError('a source of the kind mcp needs a namespace, such as "tools.files"')
    certificate, token = options.get("certificate"), options.get("token")
    digest = options.get("digest")
    for key, value in (("digest", digest), ("certificate", certificate)):
        if value is not None and not (isinstance(value, str) and is_digest(value)):
            raise ValueError(f'{key} must be written "sha256:..."')
    if not isinstance(token, str | None) or token == "":
        raise ValueError("token must be the name of a secret")
    if url is not None:
        _check_url(url, is_pinned=bool(certificate or token))
    return McpServer(
        name=name,
        namespace=namespace,
        command=command,
        digest=digest if isinstance(digest, str) else None,
        url=url,
        certificate=certificate if isinstance(certificate, str) else None,
        token=token,
        permissions=_permissions(options.get("permissions", [])),
    )


def _command(value: object, folder: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("command must be a list of texts: a program, and its arguments")
    if not value:
        return ()
    program, *arguments = map(str, value)
    found = shutil.which(program) if "/" not in program else str(folder / program)
    if found is None:
        raise ValueError(f"there is no program {program!r}")
    return (os.path.normpath(found), *(_full(word, folder) for word in arguments))


def _full(word: str, folder: Path) -> str:
    """The full path of an argument that is a file of the project; others as they are."""
    place = folder / word
    return os.path.normpath(place) if not word.startswith("-") and place.is_file() else word


def _check_url(url: str, *, is_pinned: bool) -> None:
    parts = urlsplit(url)
    if parts.hostname in _LOOPBACK:
        return
    if parts.scheme != "https" or not is_pinned:
        raise ValueError(
            "a server elsewhere needs an https:// url, and its certificate or the name of a secret"
            " as token"
        )


def _permissions(value: object) -> tuple[Permission, ...]:
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise ValueError("permissions must be a list of texts")
    try:
        return tuple(Permission.parse(str(one)) for one in value)
    except InvalidPermissionError as error:
        raise ValueError(f"of permissions, {error.message}") from error
