"""The errors of tools that agents call."""

from __future__ import annotations

from onex.domain.errors import ExitCode, OnexError, SecurityError, UsageError


class UnknownToolError(UsageError):
    """No tool that is offered has a name, or several have."""

    code = "MCP001"


class PathOutsideRootsError(SecurityError):
    """An agent named a file outside the folders that its user offers."""

    code = "MCP002"


class BudgetExhaustedError(OnexError):
    """A session has used what it may use."""

    code = "MCP003"
    exit_code = ExitCode.EXECUTION_FAILED


class ToolChangedError(SecurityError):
    """A tool is not what it was when the session was told of it."""

    code = "MCP004"


class GrantDeclinedError(SecurityError):
    """The user was asked, and does not grant what a tool asks for."""

    code = "MCP005"


class ForeignArtifactError(SecurityError):
    """A session names an artifact that none of its calls gave."""

    code = "MCP006"


class ServerBusyError(OnexError):
    """Too many calls wait already."""

    code = "MCP007"
    exit_code = ExitCode.EXECUTION_FAILED


class ServerFailedError(OnexError):
    """A server of tools did not list them as one should."""

    code = "MCP009"
    exit_code = ExitCode.EXECUTION_FAILED


class ServerNotPinnedError(SecurityError):
    """The command of a server of tools is not pinned, or its files are others."""

    code = "MCP008"
