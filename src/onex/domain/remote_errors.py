"""The errors of registries over the wire: remotes, archives, publishing, and access."""

from __future__ import annotations

from collections.abc import Sequence

from onex.domain.errors import ExitCode, OnexError, SecurityError, SourceError, UsageError


class RemoteUnavailableError(SourceError):
    """A remote registry does not answer, or not in time."""

    code = "REM001"


class RemoteProtocolError(SourceError):
    """What a remote answered is not what the index protocol has."""

    code = "REM002"


class RemoteRefusedError(OnexError):
    """A remote refused a request; the code and the hint are those that it gave."""

    def __init__(self, code: str, message: str, *, hint: str | None, status: int) -> None:
        super().__init__(message, hint=hint, details={"status": status})
        self.code = code
        self.status = status


class UnknownRemoteError(UsageError):
    """No remote has the name that was given."""

    code = "REM003"


class ArchiveRefusedError(SecurityError):
    """An archive is not the canonical one of its files, or not what the index says."""

    code = "SEC010"


class NotPublishableError(OnexError):
    """A node cannot be published; ``reasons`` says why, each in a sentence."""

    code = "PUB001"
    exit_code = ExitCode.INVALID_DOCUMENT

    def __init__(self, message: str, reasons: Sequence[str] = (), *, hint: str) -> None:
        super().__init__(message, hint=hint, details={"reasons": list(reasons)})
        self.reasons = tuple(reasons)


class VersionTakenError(OnexError):
    """A version was published before, with other files."""

    code = "PUB002"
    exit_code = ExitCode.USAGE


class BreakingReleaseError(NotPublishableError):
    """A patch or minor release breaks those who call the node, or asks for more permissions."""

    code = "PUB003"


class NotAuthenticatedError(SecurityError):
    """A request needs a token, or came with one that is unknown, expired or revoked."""

    code = "ACC001"


class NotPermittedError(SecurityError):
    """The token of a request does not allow what was asked."""

    code = "ACC002"


class TooManyRequestsError(SecurityError):
    """One token or address made so many requests that no more are answered for a while.

    Those that are refused are also counted apart.
    """

    code = "ACC003"
