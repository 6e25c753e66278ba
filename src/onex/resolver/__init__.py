"""Version resolution, without input or output: the solver is told what exists."""

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
