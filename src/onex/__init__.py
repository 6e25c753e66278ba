"""onex: a registry of versioned, executable nodes that can run what it resolves.

The names in ``__all__`` are the public interface. They are imported when first
used, so that ``import onex`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onex.artifacts.exporting import export_results
    from onex.domain.artifact_records import Artifact
    from onex.domain.constraint import VersionConstraint
    from onex.domain.errors import (
        AmbiguousNodeError,
        ConfigurationError,
        DocumentError,
        ExecutionError,
        GrantMissingError,
        NodeNotFoundError,
        OnexError,
        Problem,
        ResolutionError,
        RunFailedError,
        RunNotFoundError,
        Severity,
        UsageError,
        WorkflowInputError,
    )
    from onex.domain.grant import RunAccess
    from onex.domain.json_value import JsonObject, JsonValue
    from onex.domain.lifecycle import Lifecycle
    from onex.domain.metadata import NodeMetadata, RegisteredNode
    from onex.domain.permission import Permission
    from onex.domain.reference import NodeId, NodeRef, NodeVersion
    from onex.domain.result import (
        IsolationLevel,
        NodeExecutionResult,
        RunResult,
        RunStatus,
        StepError,
        StepStatus,
    )
    from onex.domain.timeline import Timeline, TimelineRow
    from onex.domain.version import Version
    from onex.domain.workflow import Step, Workflow
    from onex.execution.cancellation import Cancellation
    from onex.execution.events import (
        CallEnded,
        Logged,
        Observer,
        Progressed,
        RetryScheduled,
        RunEnded,
        RunEvent,
        RunStarted,
        StepEnded,
        StepStarted,
        Warned,
    )
    from onex.execution.options import RunKeywords
    from onex.execution.plan import ExecutionPlan
    from onex.execution.progress_display import show_progress
    from onex.manifests.override import Override
    from onex.manifests.workflow_file import load_workflow
    from onex.registry import Registry, call
    from onex.resolver.dependency_graph import DependencyGraph
    from onex.resolver.dependency_resolver import DependencyResolution
    from onex.storage.query import MetadataQuery, Page, SearchHit, SearchResult

__version__ = "0.1.0"

_HOMES = {
    "onex.artifacts.exporting": ("export_results",),
    "onex.domain.artifact_records": ("Artifact",),
    "onex.domain.constraint": ("VersionConstraint",),
    "onex.domain.errors": (
        "AmbiguousNodeError",
        "ConfigurationError",
        "DocumentError",
        "ExecutionError",
        "GrantMissingError",
        "NodeNotFoundError",
        "OnexError",
        "Problem",
        "ResolutionError",
        "RunFailedError",
        "RunNotFoundError",
        "Severity",
        "UsageError",
        "WorkflowInputError",
    ),
    "onex.domain.grant": ("RunAccess",),
    "onex.domain.json_value": ("JsonObject", "JsonValue"),
    "onex.domain.lifecycle": ("Lifecycle",),
    "onex.domain.metadata": ("NodeMetadata", "RegisteredNode"),
    "onex.domain.permission": ("Permission",),
    "onex.domain.reference": ("NodeId", "NodeRef", "NodeVersion"),
    "onex.domain.result": (
        "IsolationLevel",
        "NodeExecutionResult",
        "RunResult",
        "RunStatus",
        "StepError",
        "StepStatus",
    ),
    "onex.domain.timeline": ("Timeline", "TimelineRow"),
    "onex.domain.version": ("Version",),
    "onex.domain.workflow": ("Step", "Workflow"),
    "onex.execution.cancellation": ("Cancellation",),
    "onex.execution.events": (
        "CallEnded",
        "Logged",
        "Observer",
        "Progressed",
        "RetryScheduled",
        "RunEnded",
        "RunEvent",
        "RunStarted",
        "StepEnded",
        "StepStarted",
        "Warned",
    ),
    "onex.execution.options": ("RunKeywords",),
    "onex.execution.plan": ("ExecutionPlan",),
    "onex.execution.progress_display": ("show_progress",),
    "onex.manifests.override": ("Override",),
    "onex.manifests.workflow_file": ("load_workflow",),
    "onex.registry": ("Registry", "call"),
    "onex.resolver.dependency_graph": ("DependencyGraph",),
    "onex.resolver.dependency_resolver": ("DependencyResolution",),
    "onex.storage.query": ("MetadataQuery", "Page", "SearchHit", "SearchResult"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AmbiguousNodeError",
    "Artifact",
    "CallEnded",
    "Cancellation",
    "ConfigurationError",
    "DependencyGraph",
    "DependencyResolution",
    "DocumentError",
    "ExecutionError",
    "ExecutionPlan",
    "GrantMissingError",
    "IsolationLevel",
    "JsonObject",
    "JsonValue",
    "Lifecycle",
    "Logged",
    "MetadataQuery",
    "NodeExecutionResult",
    "NodeId",
    "NodeMetadata",
    "NodeNotFoundError",
    "NodeRef",
    "NodeVersion",
    "Observer",
    "OnexError",
    "Override",
    "Page",
    "Permission",
    "Problem",
    "Progressed",
    "RegisteredNode",
    "Registry",
    "ResolutionError",
    "RetryScheduled",
    "RunAccess",
    "RunEnded",
    "RunEvent",
    "RunFailedError",
    "RunKeywords",
    "RunNotFoundError",
    "RunResult",
    "RunStarted",
    "RunStatus",
    "SearchHit",
    "SearchResult",
    "Severity",
    "Step",
    "StepEnded",
    "StepError",
    "StepStarted",
    "StepStatus",
    "Timeline",
    "TimelineRow",
    "UsageError",
    "Version",
    "VersionConstraint",
    "Warned",
    "Workflow",
    "WorkflowInputError",
    "__version__",
    "call",
    "export_results",
    "load_workflow",
    "show_progress",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'onex' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
