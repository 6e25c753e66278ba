"""SqlConnection: a database as the backend uses it, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Parameter = str | int | float | bytes | None
Row = tuple[Any, ...]


class SqlConnection(Protocol):
    """Statements are written with ``?`` for parameters. Failures are raised as StorageError."""

    @property
    def place(self) -> str:
        """Where the database is, as messages name it; never with a password."""
        ...

    def rows(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """Run one statement; returns its rows, none if it gives none."""
        ...

    def run_many(self, statement: str, parameters: Sequence[Sequence[Parameter]]) -> None:
        """Run one statement for each set of parameters, in as few exchanges as possible."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction that alone may write; stored whole, or not at all on an exception."""
        ...

    def shared_transaction(self) -> AbstractContextManager[None]:
        """A transaction that changes nothing of the registry's log, so others may write meanwhile.

        It is stored whole, or not at all on an exception.
        """
        ...

    @property
    def row_lock(self) -> str:
        """What a SELECT ends with that keeps others from changing its rows in a transaction."""
        ...

    def glob(self, column: str, pattern: str) -> tuple[str, Parameter]:
        """The condition that a column matches a glob, and its parameter."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Read everything in the block from one state of the database."""
        ...

    def unindexed(self, column: str) -> str:
        """A column as an expression for which the planner uses no index, unless it knows best."""
        ...

    def names_like(self, glob: str, runs: Sequence[str]) -> tuple[str, Sequence[Parameter]]:
        """A statement for the ids of nodes whose namespace or name matches a glob.

        It looks them up by ``runs``: texts of three characters or more that the glob asks for.
        """
        ...

    def insert_name_parts(self) -> str:
        """The statement that adds a node to the index of names.

        Its parameters are the node's id, its namespace and its short name.
        """
        ...

    def insert_search(self) -> str:
        """The statement that adds a node to the full-text index.

        Its parameters are the node's id and its words: of names, of tags, of the
        description, of the README.
        """
        ...

    def search(self, condition: str) -> str:
        """The statement that ranks nodes for a full-text query.

        Its parameters are the query as ``search_query`` gives it, those of the
        condition on ``nodes``, and how many to give. Its rows are a node's id
        and a score, the best first.
        """
        ...

    def search_query(self, words: Sequence[str]) -> str:
        """A full-text query for nodes that have a word beginning with each of the given ones."""
        ...

    def check(self) -> str | None:
        """What is wrong with the database's files, None if nothing is."""
        ...

    def schema_numbers(self) -> tuple[int, int]:
        """The migration up to which the database was brought, and the last that onex has."""
        ...

    def vacuum(self) -> None:
        """Give unused space back."""
        ...

    def close(self) -> None:
        """Release the database."""
        ...
