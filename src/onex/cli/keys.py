"""The keys that commands sign with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onex.configuration.settings import Configuration
from onex.domain.errors import UsageError
from onex.domain.public_key import PublicKey

if TYPE_CHECKING:
    from onex.trust.signing import SigningKey

KEY_VARIABLE = "ONEX_KEY"
DEFAULT_KEY = "default.key"


def keys_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--key``, which may be repeated; the command receives ``key_files``."""
    return click.option(
        "--key",
        "key_files",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Signs with this key; by default with that of onex trust keygen, if there is one.",
    )(command)


def default_key(configuration: Configuration) -> Path:
    """Where the user's own key is, if nothing else is said."""
    return configuration.settings_folder / "keys" / DEFAULT_KEY


def read_keys(configuration: Configuration, files: Sequence[Path]) -> list[SigningKey]:
    """The keys in these files, else in that of ONEX_KEY, else the user's own; perhaps none.

    Raises:
        KeyUnusableError: a key cannot be read.
    """
    from onex.trust.signing import SigningKey

    chosen = list(files)
    if not chosen and os.environ.get(KEY_VARIABLE):
        chosen = [Path(os.environ[KEY_VARIABLE])]
    own = default_key(configuration)
    if not chosen and own.exists():
        chosen = [own]
    return [SigningKey.read(file, ask_passphrase) for file in chosen]


def ask_passphrase(file: Path) -> str | None:
    """The passphrase of a key: from its variable, or asked for on a terminal."""
    from onex.trust.signing import PASSPHRASE_VARIABLE

    known = os.environ.get(PASSPHRASE_VARIABLE)
    if known is not None:
        return known
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    return str(click.prompt(f"passphrase of {file}", hide_input=True, err=True))


def read_public_key(text: str) -> PublicKey:
    """A public key, written out or in a file."""
    file = Path(text)
    try:
        if len(text) < 1_000 and file.is_file():
            text = file.read_text(encoding="utf-8")[:1_000].strip()
        return PublicKey.parse(text)
    except (ValueError, OSError) as error:
        raise UsageError(
            f"{text[:80]!r} is no public key: {error}", hint="see onex trust keygen"
        ) from error
