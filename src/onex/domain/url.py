"""URLs of servers, as they may be shown: in messages, in reports, in logs."""

from __future__ import annotations

HIDDEN = "..."
_SCHEMES_WITH_USERS = ("postgresql", "postgres")
# What of the part after "?" says where a server is; all else may be a secret or lead to one.
_SHOWN_OPTIONS = frozenset(
    {"host", "hostaddr", "port", "dbname", "db", "user", "sslmode", "options"}
)


def without_secrets(url: str) -> str:
    """A URL without its password, wherever that stands and however badly it is written.

    What could be part of a secret is not shown: a password may hold ``/``, ``?``, ``#`` or
    ``@`` that were not escaped, or stand where a host or a user should, so it may reach
    further than a parser of URLs thinks.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.isalnum():
        # Not a URL: a file, or the words of a connection string, which may hold a password.
        return url if _is_plain(url) else HIDDEN
    place, _, options = rest.partition("?")
    if "@" in options or "#" in options:
        return f"{scheme}://{HIDDEN}"
    secret, at, host = place.rpartition("@")
    server, slash, path = host.partition("/")
    if not all(map(_is_server, server.split(","))) or not _is_plain(path):
        server, slash, path = HIDDEN, "", ""
    kept = [option for option in options.split("&") if _is_harmless_option(option)]
    credentials = f"{_shown_credentials(scheme, secret)}@" if at else ""
    return f"{scheme}://{credentials}{server}{slash}{path}" + (f"?{'&'.join(kept)}" if kept else "")


def _shown_credentials(scheme: str, secret: str) -> str:
    user, colon, _ = secret.partition(":")
    shown = user if _is_plain(user) else ""
    if colon:
        return f"{shown}:{HIDDEN}"
    # Where users are rare, a word alone may be a password that lost its colon.
    return shown if scheme in _SCHEMES_WITH_USERS else HIDDEN


def _is_plain(text: str) -> bool:
    """Whether a text is a word, a path or the name of a file, which holds no secret."""
    return not set(text) & set("@?#=: \t;&")


def _is_server(text: str) -> bool:
    """Whether a text is a host, and perhaps a port."""
    if text.endswith("]"):
        return text.startswith("[")
    name, colon, port = text.partition(":") if not text.startswith("[") else text.rpartition(":")
    return (port.isdigit() or not colon) and (_is_plain(name) or name.startswith("["))


def _is_harmless_option(option: str) -> bool:
    name, _, value = option.partition("=")
    return name in _SHOWN_OPTIONS and _is_plain(value)
