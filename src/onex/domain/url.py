"""URLs of servers, as they may be shown: in messages, in reports, in logs."""

from __future__ import annotations

HIDDEN = "..."
# What of the part after "?" says where a server is; all else may be a secret or lead to one.
_SHOWN_OPTIONS = frozenset(
    {"host", "hostaddr", "port", "dbname", "db", "user", "sslmode", "options"}
)


def without_secrets(url: str) -> str:
    """A URL without its password, wherever that stands and however badly it is written.

    What could be part of a secret is not shown: a password may hold ``/``, ``?``, ``#`` or
    ``@`` that were not escaped, so it may reach further than a parser of URLs thinks.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        # Not a URL: the words of a connection string, or a typing error in one.
        return url if _is_harmless(url) else HIDDEN
    place, question, options = rest.partition("?")
    if "@" in options:
        return f"{scheme}://{HIDDEN}"
    secret, at, host = place.rpartition("@")
    if not at:
        host = place
    elif ":" in secret or not _is_harmless(secret):
        user = secret.partition(":")[0]
        host = f"{user if _is_harmless(user) else ''}:{HIDDEN}@{host}"
    else:
        host = f"{secret}@{host}"
    shown = [option for option in options.split("&") if option.partition("=")[0] in _SHOWN_OPTIONS]
    return f"{scheme}://{host}" + (f"?{'&'.join(shown)}" if shown else "") * bool(question)


def _is_harmless(text: str) -> bool:
    """Whether a text is a plain word, path or file name, which holds no secret."""
    return not set(text) & set("@?#=: \t")
