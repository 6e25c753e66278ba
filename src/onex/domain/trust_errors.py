"""The errors of trust: keys, statements, owners, the signed index and the log."""

from __future__ import annotations

from onex.domain.errors import ConfigurationError, SecurityError, SourceError


class StatementRefusedError(SecurityError):
    """A signed statement is none, is about something else, or is not signed by whom it must be."""

    code = "TRU001"


class OwnersRefusedError(SecurityError):
    """A change of the owners of a namespace is not signed by its owners, or contradicts others."""

    code = "TRU002"


class KeyUnusableError(ConfigurationError):
    """A key cannot be read: it is not there, is none, or needs another passphrase."""

    code = "TRU003"


class NotVerifiedError(SecurityError):
    """A node may not be run, since what speaks for it is missing, wrong or revoked."""

    code = "TRU004"


class PolicyRefusedError(SecurityError):
    """The policy in onex.toml forbids a node."""

    code = "TRU005"


class IndexSignatureError(SourceError):
    """The index of a remote is not what its registry signed, or is older than what was seen."""

    code = "TRU006"


class LogForkError(SourceError):
    """The log of a remote is another one than that which was seen before."""

    code = "TRU007"
