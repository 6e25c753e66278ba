"""Version constraints: the grammar and meaning of node-semver ranges.

Every form is rewritten to comparators (``>=1.2.0 <2.0.0-0``) while it is read.
A constraint is then a list of alternatives, each a list of comparators that
must all hold. Source: the range grammar in the node-semver documentation.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from onex.domain.errors import ConstraintError
from onex.domain.version import MAXIMUM_VERSION_LENGTH, Version, prerelease_parts

MAXIMUM_CONSTRAINT_LENGTH = 8192
MAXIMUM_ALTERNATIVES = 512

Operator = Literal["<", "<=", ">", ">=", "="]

_PART = r"(?:0|[1-9][0-9]*)"
_XR = rf"(?:{_PART}|[xX*])"
_IDENTIFIER = r"[0-9A-Za-z-]+"
_PARTIAL = re.compile(
    rf"[v=]*(?P<major>{_XR})(?:\.(?P<minor>{_XR})(?:\.(?P<patch>{_XR})"
    rf"(?:-(?P<prerelease>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))?)?)?",
    re.ASCII,
)
_BUILD = re.compile(rf"\+{_IDENTIFIER}(?:\.{_IDENTIFIER})*\Z", re.ASCII)
MAXIMUM_NUMBER = 2**53 - 1
"""The greatest number that node-semver takes in a range."""
_OPERATOR = re.compile(r"(?P<operator>\^|~>?|>=|<=|==|>|<|=)?")
_DETACHED_OPERATOR = re.compile(r"(\^|~>|~|>=|<=|==|>|<|=)[ \t]+")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_LEADING_ZERO = re.compile(r"0[0-9]+")


@dataclass(frozen=True, slots=True)
class Comparator:
    """One bound, for example ``>=1.2.0``."""

    operator: Operator
    version: Version

    def allows(self, version: Version) -> bool:
        """Whether the version lies on the right side of this bound."""
        key, bound = version.key, self.version.key
        match self.operator:
            case "<":
                return key < bound
            case "<=":
                return key <= bound
            case ">":
                return key > bound
            case ">=":
                return key >= bound
            case "=":
                return key == bound

    def __str__(self) -> str:
        return f"{'' if self.operator == '=' else self.operator}{self.version}"


Alternative = tuple[Comparator, ...]


class ParseStatistics(NamedTuple):
    """Statistics of the parse cache: how often they were asked for, and their number."""

    hits: int
    misses: int
    entries: int


_NOTHING: Alternative = (Comparator("<", Version(0, 0, 0, (0,))),)


@dataclass(frozen=True, slots=True, eq=False)
class VersionConstraint:
    """A set of versions as its author wrote it.

    Two constraints are equal when they were rewritten to the same comparators,
    so ``^1.2`` equals ``>=1.2.0 <2.0.0-0``. ``is_latest`` marks ``latest``, which is also
    meant if nothing is written: it takes a prerelease if nothing better is there.
    """

    alternatives: tuple[Alternative, ...]
    text: str
    is_latest: bool = False

    @classmethod
    def parse(cls, text: str) -> VersionConstraint:
        """Read a node-semver range; commas also mean AND, ``latest`` means any version.

        Raises:
            ConstraintError: the text does not follow the grammar, or is too long.
        """
        return _parse(text)

    @staticmethod
    def parse_statistics() -> ParseStatistics:
        """How often ``parse`` was asked for a text that it had read before."""
        hits, misses, _, entries = _parse.cache_info()
        return ParseStatistics(hits, misses, entries)

    @property
    def is_exact(self) -> bool:
        """Whether the constraint names one version, as a bare ``1.2.3`` does."""
        return self.exact_version is not None

    @property
    def exact_version(self) -> Version | None:
        """The one version that the constraint names, None if it does not name one."""
        if len(self.alternatives) != 1 or len(self.alternatives[0]) != 1:
            return None
        (comparator,) = self.alternatives[0]
        return comparator.version if comparator.operator == "=" else None

    def allows(self, version: Version) -> bool:
        """Whether the version meets the constraint.

        A prerelease is allowed only by an alternative that names a prerelease
        of the same major, minor and patch.
        """
        return any(_alternative_allows(alternative, version) for alternative in self.alternatives)

    def admits(self, version: Version) -> bool:
        """Whether ``allows`` holds, or no constraint was made at all."""
        return self == ANY_VERSION or self.allows(version)

    def intersection(self, other: VersionConstraint) -> VersionConstraint:
        """The constraint that both express together, as one text would with a space between.

        Raises:
            ConstraintError: the two have too many pairs of alternatives.
        """
        if len(self.alternatives) * len(other.alternatives) > MAXIMUM_ALTERNATIVES:
            raise ConstraintError(
                f"{self} and {other} have too many alternatives to be joined",
                hint="simplify one of the two",
            )
        joined = tuple(mine + its for mine in self.alternatives for its in other.alternatives)
        # In its authors' words, if these mean the same beside each other.
        texts = (self.text, other.text)
        are_plain = all("||" not in text and " - " not in text for text in texts)
        if are_plain and not {"latest", "*", ""}.intersection(texts):
            return VersionConstraint(joined, " ".join(texts))
        return VersionConstraint(joined, _normalized(joined))

    def normalized(self) -> str:
        """The comparators this constraint was rewritten to, in node-semver's notation."""
        return _normalized(self.alternatives)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"VersionConstraint({self.text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VersionConstraint):
            return NotImplemented
        return self.alternatives == other.alternatives

    def __hash__(self) -> int:
        return hash(self.alternatives)


ANY_VERSION = VersionConstraint(((),), "*")
LATEST = VersionConstraint(((),), "*", is_latest=True)
"""What a reference without a constraint asks."""


@lru_cache(maxsize=4096)
def _parse(text: str) -> VersionConstraint:
    if len(text) > MAXIMUM_CONSTRAINT_LENGTH:
        raise ConstraintError(
            f"a constraint of {len(text)} characters is too long",
            hint=f"constraints have at most {MAXIMUM_CONSTRAINT_LENGTH} characters",
        )
    stripped = text.strip()
    if stripped == "latest":
        return VersionConstraint(((),), "latest", is_latest=True)
    clauses = stripped.split("||")
    if len(clauses) > MAXIMUM_ALTERNATIVES:
        raise ConstraintError(
            f"a constraint with {len(clauses)} alternatives is too long",
            hint=f"join ranges so that at most {MAXIMUM_ALTERNATIVES} alternatives remain",
        )
    return VersionConstraint(
        tuple(_read_alternative(clause, stripped) for clause in clauses), stripped or "*"
    )


def _normalized(alternatives: tuple[Alternative, ...]) -> str:
    return "||".join(" ".join(map(str, alternative)) or "*" for alternative in alternatives)


def _alternative_allows(alternative: Alternative, version: Version) -> bool:
    if not all(comparator.allows(version) for comparator in alternative):
        return False
    if not version.prerelease:
        return True
    return any(
        comparator.version.prerelease and comparator.version.triple == version.triple
        for comparator in alternative
    )


def _read_alternative(clause: str, whole: str) -> Alternative:
    if "," in clause and not all(part.strip() for part in clause.split(",")):
        raise _refuse(clause, whole)
    tokens = _DETACHED_OPERATOR.sub(r"\1", _COMMA.sub(" ", clause)).split()
    if len(tokens) == 3 and tokens[1] == "-":
        return _hyphen_range(_Partial.read(tokens[0], whole), _Partial.read(tokens[2], whole))
    comparators: list[Comparator] = []
    for token in tokens:
        comparators.extend(_read_simple(token, whole))
    return _NOTHING if _NOTHING[0] in comparators else tuple(comparators)


def _refuse(part: str, whole: str) -> ConstraintError:
    shown = part if len(part) <= 64 else part[:61] + "..."
    context = whole if len(whole) <= 64 else whole[:61] + "..."
    return ConstraintError(
        f"{shown!r} in the constraint {context!r} is not a version range",
        hint="use ranges such as ^1.2, ~1.2.3, 1.x, >=1.0 <2.0, 1.2 - 2.3 or ^1 || ^2",
    )


@dataclass(frozen=True, slots=True)
class _Partial:
    """A version of which the last numbers may be missing; missing numbers are None."""

    major: int | None
    minor: int | None
    patch: int | None
    prerelease: tuple[str | int, ...]

    @classmethod
    def read(cls, token: str, whole: str) -> _Partial:
        token = _BUILD.sub("", token)
        match = _PARTIAL.fullmatch(token)
        if match is None or len(token) > MAXIMUM_VERSION_LENGTH:
            raise _refuse(token, whole)
        parts = [match[name] for name in ("major", "minor", "patch")]
        major, minor, patch = numbers = [_number(part) for part in parts]
        if any(number is not None and number > MAXIMUM_NUMBER for number in numbers):
            raise _refuse(token, whole)
        if any(
            before is None and number is not None for before, number in itertools.pairwise(numbers)
        ):
            # A number after an x, as in 1.x.5.
            raise _refuse(token, whole)
        if major is None:
            return cls(None, None, None, ())
        if minor is None or patch is None:
            return cls(major, minor, None, ())
        prerelease = match["prerelease"]
        if prerelease and any(_LEADING_ZERO.fullmatch(part) for part in prerelease.split(".")):
            raise _refuse(token, whole)
        return cls(major, minor, patch, prerelease_parts(prerelease))

    def lowest(self) -> Version:
        return Version(self.major or 0, self.minor or 0, self.patch or 0, self.prerelease)

    def after(self) -> Comparator:
        """The bound below the first version that this partial does not describe."""
        if self.major is None:
            raise AssertionError("a partial without a major number has no version after it")
        if self.minor is None:
            return _below(self.major + 1, 0, 0)
        if self.patch is None:
            return _below(self.major, self.minor + 1, 0)
        return _below(self.major, self.minor, self.patch + 1)


def _number(text: str | None) -> int | None:
    return None if text is None or text in "xX*" else int(text)


def _below(major: int, minor: int, patch: int) -> Comparator:
    return Comparator("<", Version(major, minor, patch, (0,)))


def _read_simple(token: str, whole: str) -> Alternative:
    match = _OPERATOR.match(token)
    operator = match["operator"] if match else None
    partial = _Partial.read(token[len(operator or "") :], whole)
    if operator == "^":
        return _caret(partial)
    if operator in ("~", "~>"):
        return _tilde(partial)
    return _primitive(operator or "=", partial)


def _caret(partial: _Partial) -> Alternative:
    if partial.major is None:
        return ()
    lowest = Comparator(">=", partial.lowest())
    if partial.major > 0 or partial.minor is None:
        return (lowest, _below(partial.major + 1, 0, 0))
    if partial.minor > 0 or partial.patch is None:
        return (lowest, _below(0, partial.minor + 1, 0))
    return (lowest, _below(0, 0, partial.patch + 1))


def _tilde(partial: _Partial) -> Alternative:
    if partial.major is None:
        return ()
    upper = (
        _below(partial.major + 1, 0, 0)
        if partial.minor is None
        else _below(partial.major, partial.minor + 1, 0)
    )
    return (Comparator(">=", partial.lowest()), upper)


def _primitive(operator: str, partial: _Partial) -> Alternative:
    if partial.major is None:
        return _NOTHING if operator in ("<", ">") else ()
    lowest = partial.lowest()
    if partial.patch is not None:
        match operator:
            case "<" | "<=" | ">" | ">=":
                return (Comparator(operator, lowest),)
            case _:
                return (Comparator("=", lowest),)
    after = partial.after()
    match operator:
        case ">":
            return (Comparator(">=", Version(*after.version.triple)),)
        case "<=":
            return (after,)
        case ">=":
            return (Comparator(">=", lowest),)
        case "<":
            return (_below(*lowest.triple),)
        case _:
            return (Comparator(">=", lowest), after)


def _hyphen_range(low: _Partial, high: _Partial) -> Alternative:
    lower = () if low.major is None else (Comparator(">=", low.lowest()),)
    if high.major is None:
        return lower
    upper = high.after() if high.patch is None else Comparator("<=", high.lowest())
    return (*lower, upper)
