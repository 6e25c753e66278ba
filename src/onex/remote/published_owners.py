"""The files of a tree that say who owns namespaces."""

from __future__ import annotations

from onex.domain.json_value import parse_json
from onex.domain.namespace_owners import NamespaceOwners, read_owners
from onex.domain.trust_errors import OwnersRefusedError
from onex.remote.tree import read_lines
from onex.trust.signing import signers_of

MAXIMUM_OWNERS_BYTES = 4 * 1024 * 1024


def parse_owners(content: bytes, namespace: str) -> NamespaceOwners:
    """Read the owners of a namespace; every statement is checked against the one before.

    Raises:
        OwnersRefusedError: one does not follow, or they are about another namespace.
        RemoteProtocolError: the file is not UTF-8.
    """
    try:
        links = [parse_json(line) for line in read_lines(content)]
    except ValueError as error:
        raise OwnersRefusedError(
            f"the owners of {namespace} cannot be read: {error}"[:300],
            hint="tell those who run the registry",
        ) from error
    owners = read_owners(links, signers_of)
    if owners.namespace != namespace:
        raise OwnersRefusedError(
            f"the file of the owners of {namespace} is about {owners.namespace}",
            hint="tell those who run the registry",
        )
    return owners
