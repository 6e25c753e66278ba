"""Choosing versions. Pure: the solver is told what exists and never looks for itself."""

from onex.domain.errors import DependencyCycleError, ResolutionError
from onex.resolver.provider import DependencyProvider, StableFirst, VersionPolicy
from onex.resolver.solver import solve

__all__ = [
    "DependencyCycleError",
    "DependencyProvider",
    "ResolutionError",
    "StableFirst",
    "VersionPolicy",
    "solve",
]
