"""Strict isolation: nodes in processes that the kernel confines to what they were granted."""

from __future__ import annotations

from onex.domain.result import IsolationLevel
from onex.engines.confinement import ConfinedProcesses
from onex.engines.engine import LoadedNode, NodeCall
from onex.engines.reactor import Reactor
from onex.engines.worker_process import OnWorkerEnd, WorkerProcess


class StrictWorkers:
    """Starts workers that are forked and locked down before they load their node."""

    isolation = IsolationLevel.STRICT

    def __init__(self, reactor: Reactor, confined: ConfinedProcesses) -> None:
        self._reactor = reactor
        self._confined = confined

    def is_warm(self, call: NodeCall) -> bool:
        return call.node.may_share_process(call.readable, call.writable)

    def start(self, call: NodeCall, on_end: OnWorkerEnd) -> WorkerProcess:
        node = call.node
        command = (str(node.folder), str(node.file), node.callable_name)
        group, confinement = self._confined.start("python", command, call, warm=self.is_warm(call))
        return WorkerProcess(node, group, self._reactor, on_end, confinement=confinement)

    def start_ahead(self, node: LoadedNode, on_end: OnWorkerEnd) -> None:
        """Start the process that others are forked from: where they may write, calls say."""
        self._confined.zygote.start()
