"""``onex remote``, ``onex fetch``, ``onex login`` and ``onex logout``"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.cli.project_file import declare_source, project_file, remove_source, remove_with_nodes
from onex.configuration.settings import REMOTE_KIND, SourceConfiguration, Sync
from onex.domain.errors import ExitCode, OnexError, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.domain.trust_errors import IndexSignatureError
from onex.domain.url import without_secrets
from onex.registry import Registry
from onex.remote.log_reader import remembered_head
from onex.remote.tree import Tree, read_file
from onex.trust.index_layout import ROOT, fingerprint_of, metadata_path
from onex.trust.signed_index import MAXIMUM_METADATA_BYTES, MAXIMUM_ROOTS


@click.group()
def remote() -> None:
    """Registries elsewhere, from which nodes are taken and to which they are published."""


@remote.command()
@click.argument("url", metavar="URL|FOLDER")
@click.option("--name", help="By default the host, or the name of the folder.")
@click.option("--namespace", "namespaces", multiple=True, help="Takes this from here alone.")
@click.option("--sync", type=click.Choice([str(sync) for sync in Sync]), default=str(Sync.NEEDED),
              show_default=True, help="How much of its index is kept here.")  # fmt: skip
@click.option("--priority", type=int, help="The highest supplies what several have.")
@click.option("--trusted", is_flag=True, help="Its nodes are granted what they ask for.")
@click.option("--root", "root_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              metavar="FILE", help="The root by which its index must be signed.")  # fmt: skip
@click.option("--fingerprint", metavar="sha256:...", help="The same, by its fingerprint.")
@click.option("--unsigned", is_flag=True, help="Take its index on faith, though it signs it.")
@home_option
@output_options
def add(
    output: Output,
    url: str,
    name: str | None,
    namespaces: tuple[str, ...],
    sync: str,
    priority: int | None,
    trusted: bool,
    root_file: Path | None,
    fingerprint: str | None,
    unsigned: bool,
    home: Path | None,
) -> None:
    """Declare a remote in onex.toml, after asking whether it is one.

    If it signs its index, the root by which it does is pinned: by --root or --fingerprint, or on a
    terminal after the fingerprint was shown. Compare it with those who run the registry.
    """
    from onex.discovery.remote import read_config

    chosen = name or _name_of(url)
    file = project_file(home)
    if "://" not in url:
        url = os.path.relpath(Path(url).absolute(), file.parent)
    given = {
        "name": chosen,
        "kind": REMOTE_KIND,
        "url": url,
        "namespaces": list(namespaces) or None,
        "sync": None if sync == Sync.NEEDED else sync,
        "priority": priority,
        "trusted": trusted or None,
    }
    pinned = fingerprint if root_file is None else fingerprint_of(root_file.read_bytes())
    declare_source(file, given | {"root": pinned})
    try:
        with Registry.open(home) as registry:
            declared = registry.remotes.remote(chosen)
            tree = registry.remotes.tree(declared)
            config = read_config(tree)
            if pinned is None and not unsigned:
                pinned = _asked_root(tree)
            if pinned is not None:
                registry.remotes.signed_by(declared, tree, pinned).refresh()
            registry.remotes.answered(declared)
        if pinned is not None and declared.root is None:
            remove_source(file, chosen)
            declare_source(file, given | {"root": pinned})
    except BaseException:
        remove_source(file, chosen)
        raise
    shown = without_secrets(url) if "://" in url else url
    body: JsonValue = {
        "added": chosen,
        "registry": config.registry,
        "serial": config.serial,
        "root": pinned,
    }
    output.emit(
        body, lambda: output.line(f"added {chosen}: registry {config.registry[:16]} at {shown}")
    )


@remote.command("list")
@home_option
@output_options
def list_remotes(output: Output, home: Path | None) -> None:
    """List the remotes, with what is known of each."""
    with Registry.open(home) as registry:
        found = [_described(registry, declared) for declared in registry.remotes.declared]
    _emit(output, found)


@remote.command()
@click.argument("name")
@home_option
@output_options
def remove(output: Output, name: str, home: Path | None) -> None:
    """Take a remote out of onex.toml, and its nodes out of the registry."""
    file = project_file(home)
    with Registry.open(home) as registry:
        registry.remotes.forget(registry.remotes.remote(name))
        remove_with_nodes(output, registry, file, name)


@remote.command()
@click.argument("name", required=False)
@home_option
@output_options
def check(output: Output, name: str | None, home: Path | None) -> int:
    """Ask the remotes whether they answer, also those that are passed over."""
    with Registry.open(home) as registry:
        chosen = [registry.remotes.remote(name)] if name else list(registry.remotes.declared)
        found = []
        for declared in chosen:
            error = registry.sources.try_source(declared)
            found.append(_described(registry, declared, error))
    _emit(output, found)
    is_well = all(entry["status"] == "ok" for entry in found)
    return ExitCode.SUCCESS if is_well else ExitCode.EXECUTION_FAILED


@remote.command()
@click.argument("name", required=False)
@home_option
@output_options
def head(output: Output, name: str | None, home: Path | None) -> None:
    """Show the head of a remote's log that was seen last, to compare with others and with it.

    Those who run the registry check it: onex audit verify --head FILE.
    """
    with Registry.open(home) as registry:
        declared = registry.remotes.remote(name)
        signed = registry.remotes.signed_index(declared)
        known = None if signed is None else remembered_head(signed.folder)
    if known is None:
        raise UsageError(
            f"no signed head of the log of {declared.name} was seen",
            hint="pin its root: onex remote add --fingerprint; then onex remote sync",
        )
    output.emit(known.envelope.to_json(), lambda: output.line(str(known.envelope)))


@remote.command()
@click.argument("name", required=False)
@home_option
@output_options
def sync(output: Output, name: str | None, home: Path | None) -> int:
    """Learn what changed on the remotes; exits with 1 if one did not answer."""
    with Registry.open(home) as registry:
        chosen = [registry.remotes.remote(name)] if name else list(registry.remotes.declared)
        reports = registry.sources.remote_nodes.visit(chosen)
        problems = [problem for report in reports for problem in report.problems]
        found = [_described(registry, declared) for declared in chosen]
    output.problems(problems)
    _emit(output, found)
    has_failed = any(source.status != "ok" for report in reports for source in report.sources)
    return ExitCode.EXECUTION_FAILED if has_failed else ExitCode.SUCCESS


@remote.command()
@click.argument("name")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@home_option
@output_options
def mirror(output: Output, name: str, folder: Path, home: Path | None) -> None:
    """Copy a remote to a folder, which is a remote itself then; again, to bring it up to date."""
    from onex.remote.tree_copy import copy_tree

    with Registry.open(home) as registry:
        declared = registry.remotes.remote(name)
        tree, signed = registry.remotes.tree(declared), registry.remotes.signed_index(declared)
        copied = copy_tree(tree, folder, _progress(output), signed=signed)
    _emit_copy(output, folder, copied.nodes, copied.archives, copied.serial)


@remote.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--with-private", is_flag=True, help="Private namespaces, too.")
@home_option
@output_options
def export(output: Output, folder: Path, with_private: bool, home: Path | None) -> None:
    """Write what was published to this registry to a folder, such as one on a stick."""
    from onex.domain.access_control import NOTHING_HIDDEN, NamespaceRules
    from onex.remote.local_tree import LocalTree
    from onex.remote.tree_copy import copy_tree

    with Registry.open(home) as registry:
        rules = NamespaceRules(registry.configuration.private_namespaces)
        hidden = NOTHING_HIDDEN if with_private else rules.hidden_from(None)
        store, log = registry.remotes.published, registry.log_tree
        tree = LocalTree(registry.storage, store, hidden=hidden, log=log)
        signer, signed = registry.index_signer, None
        if signer.update():
            signed = registry.remotes.signed_here(tree, signer.fingerprint() or "")
        copied = copy_tree(tree, folder, signed=signed, concurrent=False)
    _emit_copy(output, folder, copied.nodes, copied.archives, copied.serial)


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@home_option
@output_options
def fetch(output: Output, references: tuple[str, ...], home: Path | None) -> None:
    """Fetch nodes and all that they need, so that they can be run without a network."""
    with Registry.open(home) as registry:
        resolution = registry.resolve([NodeRef.parse(reference) for reference in references])
        chosen = resolution.execution_order
        fetched = registry.remotes.archived.fetch(chosen, told=_progress(output))
        for node in chosen:
            # So that what is told to run offline does.
            registry.remotes.archived.prove(node)
    nodes: list[JsonValue] = [str(n.metadata.node_version) for n in resolution.execution_order]
    body: JsonValue = {"nodes": nodes, "fetched": fetched}
    output.emit(
        body,
        lambda: output.line(
            f"{counted(len(nodes), 'node')} can be run offline; fetched {fetched} of them"
        ),
    )


@click.command()
@click.argument("name", metavar="REMOTE", required=False)
@home_option
@output_options
def login(output: Output, name: str | None, home: Path | None) -> None:
    """Keep a token for a remote, in a file that only you can read.

    The token is asked for, or read from standard input in a pipe. A token in the variable
    ONEX_TOKEN_NAME, with the name of the remote in capitals, goes before it.
    """
    from onex.domain.token_text import is_token_text

    with Registry.open(home) as registry:
        declared = registry.remotes.remote(name)
        if declared.url is None:
            raise UsageError(f"{declared.name} is a folder", hint="folders need no token")
        is_terminal = sys.stdin is not None and sys.stdin.isatty()
        text = (
            click.prompt("token", hide_input=True, err=True)
            if is_terminal
            else sys.stdin.readline() if sys.stdin else ""
        )  # fmt: skip
        text = str(text).strip()
        if not is_token_text(text):
            raise UsageError(
                "this is not a token, or it was not copied whole",
                hint="tokens begin with onex_; an admin creates them: onex token create",
            )
        registry.remotes.credentials.store(declared.url, text)
    body: JsonValue = {"remote": declared.name}
    output.emit(body, lambda: output.line(f"the token for {declared.name} is kept"))


@click.command()
@click.argument("name", metavar="REMOTE", required=False)
@home_option
@output_options
def logout(output: Output, name: str | None, home: Path | None) -> None:
    """Forget the token for a remote."""
    with Registry.open(home) as registry:
        declared = registry.remotes.remote(name)
        was_there = registry.remotes.credentials.remove(declared.url or "")
    state = "is forgotten" if was_there else "was not kept here"
    body: JsonValue = {"remote": declared.name, "removed": was_there}
    output.emit(body, lambda: output.line(f"the token for {declared.name} {state}"))


def _asked_root(tree: Tree) -> str | None:
    """The fingerprint of the root of a tree that signs its index, once a person agrees to it.

    Raises:
        IndexSignatureError: there is one, and nobody can be asked.
    """
    found: str | None = None
    for version in range(1, MAXIMUM_ROOTS):
        content = read_file(tree, metadata_path(ROOT, version), MAXIMUM_METADATA_BYTES)
        if content is None:
            break
        found = fingerprint_of(content)
    if found is None:
        return None
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    question = f"{tree.place} signs its index by the root\n  {found}\nIs that the right one?"
    if is_terminal and click.confirm(question, err=True):
        return found
    raise IndexSignatureError(
        f"{tree.place} signs its index, and its root is not pinned",
        hint=f"compare it with those who run it, and add --fingerprint {found}",
    )


def _described(
    registry: Registry, declared: SourceConfiguration, error: OnexError | None = None
) -> dict[str, JsonValue]:
    known = registry.sources.remote_nodes.known(declared)
    if error is None:
        error = registry.remotes.failure(declared)
    return {
        "name": declared.name,
        "url": without_secrets(declared.url) if declared.url else str(declared.path),
        "status": "ok" if error is None else "failed",
        "error": None if error is None else f"{error.code}: {error.message}",
        "serial": known.serial,
        "age_seconds": known.age_seconds,
        "nodes": known.nodes,
        "sync": str(declared.sync),
        "priority": declared.priority,
        "trusted": declared.trusted,
        "namespaces": list(declared.namespaces),
    }


def _emit(output: Output, found: list[dict[str, JsonValue]]) -> None:
    def human() -> None:
        rows = [
            (str(r["name"]), str(r["url"]), str(r["error"] or r["status"]),
             str(r["nodes"]), _age(r["age_seconds"]))
            for r in found
        ]  # fmt: skip
        output.table(("NAME", "URL", "STATUS", "NODES", "KNOWN SINCE"), rows)
        if not found:
            output.note("no remote is declared; onex remote add URL declares one")

    output.emit({"remotes": found}, human)


def _age(seconds: JsonValue) -> str:
    if not isinstance(seconds, int | float):
        return "never asked"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _emit_copy(output: Output, folder: Path, nodes: int, archives: int, serial: int) -> None:
    body: JsonValue = {
        "folder": str(folder),
        "nodes": nodes,
        "archives": archives,
        "serial": serial,
    }
    output.emit(
        body,
        lambda: output.line(
            f"{folder} is as of entry {serial}: {counted(nodes, 'node')} changed,"
            f" {counted(archives, 'archive')} copied"
        ),
    )


def _progress(output: Output) -> Callable[[int], None]:
    """Tells on a terminal how much has arrived."""
    arrived = 0

    def told(size: int) -> None:
        nonlocal arrived
        before, arrived = arrived, arrived + size
        if output.is_terminal and before >> 20 != arrived >> 20:
            output.note(f"{arrived >> 20} MiB have arrived")

    return told


def _name_of(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Path(scheme).absolute().name
    return rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
