"""Semantic versions: grammar and precedence of SemVer 2.0.0."""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering

from onex.domain.errors import VersionError

MAXIMUM_VERSION_LENGTH = 256

_NUMBER = r"0|[1-9][0-9]*"
_PRERELEASE_PART = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<prerelease>{_PRERELEASE_PART}(?:\.{_PRERELEASE_PART})*))?"
    r"(?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)

PrereleasePartKey = tuple[int, int, str]
"""How one prerelease identifier sorts: numbers first and by value, then text by ASCII."""

PrecedenceKey = tuple[int, int, int, int, tuple[PrereleasePartKey, ...]]


def _part_key(part: str | int) -> PrereleasePartKey:
    return (0, part, "") if isinstance(part, int) else (1, 0, part)


@total_ordering
class Version:
    """One semantic version.

    Equality, order and hash follow SemVer precedence (section 11), so build
    metadata is kept and printed but never compared: ``1.0.0+a == 1.0.0+b``.
    """

    __slots__ = ("build", "key", "major", "minor", "patch", "prerelease")

    major: int
    minor: int
    patch: int
    prerelease: tuple[str | int, ...]
    build: tuple[str, ...]
    key: PrecedenceKey

    def __init__(
        self,
        major: int,
        minor: int,
        patch: int,
        prerelease: tuple[str | int, ...] = (),
        build: tuple[str, ...] = (),
    ) -> None:
        object.__setattr__(self, "major", major)
        object.__setattr__(self, "minor", minor)
        object.__setattr__(self, "patch", patch)
        object.__setattr__(self, "prerelease", prerelease)
        object.__setattr__(self, "build", build)
        object.__setattr__(
            self,
            "key",
            (major, minor, patch, 0 if prerelease else 1, tuple(map(_part_key, prerelease))),
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Version is immutable, so {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Version is immutable, so {name} cannot be deleted")

    def __reduce__(
        self,
    ) -> tuple[type[Version], tuple[int, int, int, tuple[str | int, ...], tuple[str, ...]]]:
        return (Version, (self.major, self.minor, self.patch, self.prerelease, self.build))

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Version:
        """Read ``MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]``.

        Raises:
            VersionError: the text is not a SemVer 2.0.0 version, or is longer
                than ``MAXIMUM_VERSION_LENGTH`` characters.
        """
        if len(text) > MAXIMUM_VERSION_LENGTH:
            raise VersionError(
                f"a version of {len(text)} characters is too long",
                hint=f"versions have at most {MAXIMUM_VERSION_LENGTH} characters",
            )
        match = _VERSION.fullmatch(text)
        if match is None:
            raise VersionError(
                f"{text!r} is not a semantic version",
                hint="write MAJOR.MINOR.PATCH, for example 1.4.0 or 2.0.0-rc.1",
            )
        major, minor, patch, prerelease, build = match.groups()
        return cls(
            int(major),
            int(minor),
            int(patch),
            prerelease_parts(prerelease),
            tuple(build.split(".")) if build else (),
        )

    @property
    def is_prerelease(self) -> bool:
        """Whether the version carries prerelease identifiers."""
        return bool(self.prerelease)

    @property
    def triple(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return (self.major, self.minor, self.patch)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.prerelease:
            text += "-" + ".".join(map(str, self.prerelease))
        if self.build:
            text += "+" + ".".join(self.build)
        return text

    def __repr__(self) -> str:
        return f"Version({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.key < other.key if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


def prerelease_parts(text: str | None) -> tuple[str | int, ...]:
    """Split ``rc.1`` into ``("rc", 1)``; no text gives no parts."""
    if not text:
        return ()
    return tuple(
        int(part) if part.isascii() and part.isdigit() else part for part in text.split(".")
    )
