"""The known versions of one node, and sets of them as bit masks.

Bit 0 means "the node is absent"; bit ``i + 1`` for the i-th version in
ascending order. A set that holds bit 0 is a negative statement ("not 2.x"), one
that does not is a positive one ("1.x"), so the complement of a statement is the
complement of its mask, and no interval arithmetic is needed while solving.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from operator import attrgetter, eq

from onex.domain.constraint import Alternative, VersionConstraint
from onex.domain.version import Version

ABSENT = 1
MAXIMUM_MASKS = 4096

_KEY = attrgetter("key")


class VersionTable:
    """Versions of one node in ascending order, with masks for constraints over them."""

    def __init__(
        self,
        name: str,
        versions: Sequence[Version],
        preference: Callable[[Version], int],
        reservation: Callable[[Version], str | None] = lambda _: None,
    ) -> None:
        """``reservation`` says why a version of negative preference is held back."""
        self.name = name
        # Whether one request alone sees the versions so, by its lock or by what it forces.
        self.is_of_one_request = False
        self._reservation = reservation
        self.versions = sorted(versions, key=_KEY)
        self._keys = [version.key for version in self.versions]
        if any(map(eq, self._keys, self._keys[1:])):
            self.versions = list({version.key: version for version in self.versions}.values())
            self._keys = [version.key for version in self.versions]
        self.full = (1 << (len(self.versions) + 1)) - 1
        self.present = self.full & ~ABSENT
        self._masks: dict[str, int] = {}
        self._prereleases = self._reserved = 0
        by_preference: dict[int, int] = {}
        bit = 2
        for version in self.versions:
            value = preference(version)
            by_preference[value] = by_preference.get(value, 0) | bit
            if value < 0:
                self._reserved |= bit
            if version.prerelease:
                self._prereleases |= bit
            bit <<= 1
        self._by_preference = [
            by_preference[value] for value in sorted(by_preference, reverse=True)
        ]

    def index_of(self, version: Version) -> int | None:
        """Where a version stands, None if it is not known."""
        index = bisect_left(self._keys, version.key)
        is_known = index < len(self._keys) and self._keys[index] == version.key
        return index if is_known else None

    def favouring(self, version: Version) -> VersionTable:
        """The same table in which one version comes before all others, even if it is reserved."""
        index = self.index_of(version)
        if index is None:
            return self
        bit = 2 << index
        table = copy(self)
        table.is_of_one_request = True
        table._by_preference = [bit, *self._by_preference]
        if (self._reserved | self._prereleases) & bit:
            table._reserved = self._reserved & ~bit
            table._masks = {}
        return table

    def mask_of(self, constraint: VersionConstraint) -> int:
        """The versions that a constraint selects, never with the absent bit.

        ``latest``, which is also meant by no constraint, takes prereleases too if nothing
        better is there; all others, ``*`` among them, follow node-semver.
        """
        key = "latest" if constraint.is_latest else constraint.text
        mask = self._masks.get(key)
        if mask is None:
            exact = constraint.exact_version
            if exact is not None:
                index = self.index_of(exact)
                mask = 0 if index is None else 2 << index
            else:
                mask = self._mask_of_range(constraint)
            if len(self._masks) >= MAXIMUM_MASKS:
                self._masks.clear()
            self._masks[key] = mask
        return mask

    def _mask_of_range(self, constraint: VersionConstraint) -> int:
        mask = 0
        for alternative in constraint.alternatives:
            mask |= self._mask_of_alternative(alternative)
        if constraint.is_latest and self._are_prereleases_best():
            mask = self.present
        return mask & ~self._reserved

    def _are_prereleases_best(self) -> bool:
        """Whether the most preferred versions are prereleases, all of them."""
        best = next((g & ~self._reserved for g in self._by_preference if g & ~self._reserved), 0)
        return bool(best) and not best & ~self._prereleases

    def left_out(self, constraint: VersionConstraint) -> list[str]:
        """The versions between the bounds of a constraint that it does not select, and why.

        The newest comes first; each is told as in ``1.2.0 is yanked: it loses data``.
        """
        between = 0
        for alternative in constraint.alternatives:
            between |= self._between(alternative)
        found = []
        for index in reversed(list(indexes(between & ~self.mask_of(constraint)))):
            version, bit = self.versions[index], 2 << index
            if self._reserved & bit:
                found.append(f"{version} {self._reservation(version) or 'is held back'}")
            elif self._prereleases & bit:
                found.append(f"{version} is a prerelease")
        return found

    def _mask_of_alternative(self, alternative: Alternative) -> int:
        named_prereleases = 0
        for comparator in alternative:
            if comparator.version.prerelease:
                named_prereleases |= self._prereleases_of(comparator.version)
        return self._between(alternative) & (~self._prereleases | named_prereleases)

    def _between(self, alternative: Alternative) -> int:
        """The versions between the bounds of an alternative, prereleases too."""
        low, high = 0, len(self._keys)
        for comparator in alternative:
            key = comparator.version.key
            match comparator.operator:
                case ">=":
                    low = max(low, bisect_left(self._keys, key))
                case ">":
                    low = max(low, bisect_right(self._keys, key))
                case "<":
                    high = min(high, bisect_left(self._keys, key))
                case "<=":
                    high = min(high, bisect_right(self._keys, key))
                case "=":
                    low = max(low, bisect_left(self._keys, key))
                    high = min(high, bisect_right(self._keys, key))
        return 0 if low >= high else (1 << (high + 1)) - (1 << (low + 1))

    def _prereleases_of(self, version: Version) -> int:
        """The known prereleases with the major, minor and patch of the given version."""
        low = bisect_left(self._keys, (*version.triple, 0, ()))
        high = bisect_left(self._keys, (*version.triple, 1, ()))
        return (1 << (high + 1)) - (1 << (low + 1))

    def preferred(self, mask: int) -> int:
        """The bit of the best version in a set that holds at least one."""
        best = next(group & mask for group in self._by_preference if group & mask)
        return 1 << (best.bit_length() - 1)

    def describe(self, mask: int) -> str:
        """A set of versions as a reader would say it, such as ``1.2.0 to 1.4.1 or 2.0.0``."""
        mask &= self.present
        if mask == 0:
            return "(no version)"
        if mask == self.present and len(self.versions) > 1:
            return "(any version)"
        spans: list[tuple[int, int]] = []
        for index in indexes(mask):
            if spans and spans[-1][1] == index - 1:
                spans[-1] = (spans[-1][0], index)
            else:
                spans.append((index, index))
        return " or ".join(self._describe_span(low, high) for low, high in spans)

    def _describe_span(self, low: int, high: int) -> str:
        if low == high:
            return str(self.versions[low])
        joint = " or " if high == low + 1 else " to "
        return f"{self.versions[low]}{joint}{self.versions[high]}"


class ForcedTable(VersionTable):
    """The table of a node that the user forced to one version: every constraint takes it."""

    def __init__(self, name: str, version: Version) -> None:
        super().__init__(name, [version], lambda _: 0)
        self.is_of_one_request = True

    def mask_of(self, constraint: VersionConstraint) -> int:
        return self.present

    def describe(self, mask: int) -> str:
        described = super().describe(mask)
        return f"{described} (forced)" if mask & self.present else described


def indexes(mask: int) -> Iterator[int]:
    """The version indexes of the bits that are set, ascending."""
    mask >>= 1
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
