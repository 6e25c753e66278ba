"""From a MetadataQuery to conditions on the registry's tables."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from onex.domain.access_control import EVERYTHING, HiddenNamespaces
from onex.domain.constraint import VersionConstraint
from onex.domain.errors import UsageError
from onex.domain.lifecycle import Lifecycle
from onex.storage.node_record import storable, version_order
from onex.storage.query import MetadataQuery
from onex.storage.sql.connection import Parameter, SqlConnection
from onex.storage.sql.name_pattern import Condition, in_normal_form, name_conditions


@dataclass(slots=True)
class Conditions:
    """What rows of ``nodes`` must meet: all parts, and one of the alternatives if there are any.

    ``drives_from_label`` says that rows are reached through one label, in the order of
    listings, so that a page ends as soon as it is full.
    """

    parts: list[str] = field(default_factory=list)
    part_parameters: list[Parameter] = field(default_factory=list)
    alternatives: list[Condition] = field(default_factory=list)
    drives_from_label: bool = False

    @property
    def source(self) -> str:
        """The tables to read."""
        if self.drives_from_label:
            # CROSS JOIN, since SQLite then keeps this order of the tables.
            return "labels AS first_label CROSS JOIN nodes"
        return "nodes"

    @property
    def sort_key(self) -> str:
        """The column that orders listings."""
        return "first_label.sort_key" if self.drives_from_label else "nodes.sort_key"

    def add(self, part: str, *parameters: Parameter) -> None:
        """Add one condition."""
        self.parts.append(part)
        self.part_parameters += parameters

    @property
    def whole(self) -> Condition:
        """All of it as one condition."""
        if not self.alternatives:
            return self._with(None)
        either = " OR ".join(alternative.text for alternative in self.alternatives)
        parameters = [p for alternative in self.alternatives for p in alternative.parameters]
        return self._with(Condition(f"({either})", tuple(parameters)))

    @property
    def ways(self) -> Sequence[Condition]:
        """Conditions of which one must hold, each quick to page through by itself."""
        return [self._with(alternative) for alternative in self.alternatives] or [self.whole]

    def _with(self, other: Condition | None) -> Condition:
        parts, parameters = list(self.parts), list(self.part_parameters)
        if other is not None:
            parts.append(other.text)
            parameters += other.parameters
        return Condition(" AND ".join(parts) or "1 = 1", tuple(parameters))


def conditions_of(
    query: MetadataQuery, connection: SqlConnection, *, allow_label_scan: bool = False
) -> Conditions:
    """The filters of a query, without those that pick one version of each node.

    ``allow_label_scan`` allows the first label to lead to the rows.
    """
    found = Conditions()
    labels = [
        (kind, storable(value))
        for kind, values in (
            ("tag", query.tags),
            ("capability", query.capabilities),
            ("permission", query.permissions),
        )
        for value in values
    ]
    if labels and allow_label_scan:
        found.drives_from_label = True
        found.add("nodes.sort_key = first_label.sort_key")
        found.add("first_label.kind = ? AND first_label.value = ?", *labels.pop(0))
    for label in labels:
        found.add(_HAS_LABEL, *label)
    if query.pattern is not None:
        _add_pattern(found, storable(query.pattern), connection)
    if query.namespace is not None:
        within = _in_namespace(query.namespace, found.sort_key)
        found.add(within.text, *within.parameters)
    if query.hidden:
        visible = visible_under(query.hidden, found.sort_key)
        found.add(visible.text, *visible.parameters)
    for column, value in (("type", query.type), ("author", query.author)):
        if value is not None:
            found.add(f"nodes.{column} = ?", storable(value))
    if query.any_tags:
        either = " OR ".join([_HAS_LABEL] * len(query.any_tags))
        found.add(f"({either})", *(p for tag in query.any_tags for p in ("tag", storable(tag))))
    if query.lifecycle is not None:
        found.add("nodes.lifecycle = ?", query.lifecycle.value)
    elif not query.all_versions:
        found.add("nodes.lifecycle <> ?", Lifecycle.ARCHIVED.value)
    if query.trust is not None:
        found.add("nodes.trust = ?", query.trust.value)
    if query.version is not None:
        _add_constraint(found, query.version)
    if query.source is not None:
        found.add(
            "EXISTS (SELECT 1 FROM origins WHERE node_id = nodes.id AND source = ?)",
            storable(query.source),
        )
    return found


def _in_namespace(name: str, key: str) -> Condition:
    """A namespace and all below it, by the column that orders listings."""
    # Listings are in the order of namespaces: what is between the two belongs to neither.
    namespace = storable(name)
    own, below = f"{namespace}\x01", f"{namespace}."
    text = f"{key} >= ? AND {key} < ? AND NOT ({key} >= ? AND {key} < ?)"
    return Condition(text, (own, _after(below), _after(own), below))


def visible_under(hidden: HiddenNamespaces, key: str) -> Condition:
    """What is not hidden, by the column that orders listings."""
    if not hidden or EVERYTHING in hidden.shown:
        return Condition("1 = 1", ())
    private, shown = (
        [_in_namespace(name.removesuffix(".*"), key) for name in names]
        for names in (hidden.private, hidden.shown)
    )
    outside = " AND ".join(f"NOT ({part.text})" for part in private)
    if EVERYTHING in hidden.private:
        private, outside = [], "1 = 0"
    text = " OR ".join([f"({outside})", *(f"({part.text})" for part in shown)])
    return Condition(f"({text})", tuple(p for part in (*private, *shown) for p in part.parameters))


_HAS_LABEL = (
    "EXISTS (SELECT 1 FROM labels WHERE kind = ? AND value = ?"
    " AND labels.sort_key = nodes.sort_key)"
)


def picks_among_fitting(query: MetadataQuery) -> bool:
    """Whether the listed version of a node is the best of those that fit, not the best of all."""
    return (
        query.lifecycle is not None or query.version is not None or query.source is not None
    ) and not (query.all_versions or query.among_best)


def _add_pattern(found: Conditions, pattern: str, connection: SqlConnection) -> None:
    if "://" in pattern:
        node_type, _, pattern = pattern.partition("://")
        types = in_normal_form(node_type)
        found.add("1 = 0") if types is None else found.add(*connection.glob("nodes.type", types))
    if pattern:
        found.alternatives = name_conditions(connection, pattern, found.sort_key)


def _add_constraint(found: Conditions, constraint: VersionConstraint) -> None:
    """node-semver's rule for prereleases; in ``version_order`` a release ends with ``~``."""
    alternatives = []
    for alternative in constraint.alternatives:
        parts = ["1 = 1"]
        prereleases = ["nodes.version_order LIKE '%~'"]
        for comparator in alternative:
            parts.append(f"nodes.version_order {comparator.operator} ?")
            found.part_parameters.append(version_order(comparator.version))
        for comparator in alternative:
            if comparator.version.prerelease:
                order = version_order(comparator.version)
                numbers = order[: order.index("!") + 1]
                prereleases.append("(nodes.version_order >= ? AND nodes.version_order < ?)")
                found.part_parameters += [numbers, f'{numbers[:-1]}"']
        alternatives.append(f"({' AND '.join(parts)} AND ({' OR '.join(prereleases)}))")
    found.parts.append(f"({' OR '.join(alternatives)})")


def _after(beginning: str) -> str:
    """The first text that is behind all that begin so."""
    return beginning[:-1] + chr(ord(beginning[-1]) + 1)


def write_cursor(sort_key: str) -> str:
    """A place in a listing as text that can be passed on."""
    return base64.urlsafe_b64encode(json.dumps(sort_key).encode()).decode()


def read_cursor(cursor: str) -> str:
    """The place that a cursor means; raises UsageError for other texts."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        key = None
    if not isinstance(key, str):
        raise UsageError(f"{cursor!r} is not a cursor", hint='pass the "next" of the page before')
    return key
