"""``onex mcp``"""

from __future__ import annotations

import gc
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onex.agents.client_settings import CLIENTS
from onex.agents.publisher_text import clean_text
from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted, printable
from onex.domain.errors import ExitCode, UsageError
from onex.domain.json_value import JsonValue
from onex.registry import Registry

if TYPE_CHECKING:
    from onex.agents.accepting import Acceptance

project_option = click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The folder with onex.toml, or one below it; by default the current one.",
)
roots_option = click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="A folder whose files agents may hand to tools; may be repeated.",
)


@click.group(invoke_without_command=True)
@project_option
@roots_option
@home_option
@click.pass_context
def mcp(context: click.Context, project: Path, roots: tuple[Path, ...], home: Path | None) -> None:
    """Offer nodes and workflows to agents as tools, over standard input and output.

    What is offered stands under [mcp] in onex.toml. A client that speaks the Model Context
    Protocol starts this command; onex mcp config prints what its settings need.
    """
    if context.invoked_subcommand is not None:
        return
    require_mcp()
    with Registry.open(home, start=project) as registry:
        settings = registry.configuration.agents
    # The classes of the protocol are many, and none of them goes away: collecting garbage while
    # they are made takes a fifth of the time to the first answer.
    gc.disable()
    from onex.agents.stdio import serve_stdio

    gc.freeze()
    gc.enable()
    serve_stdio(home, project, settings, [root.absolute() for root in roots])


@mcp.command("list")
@project_option
@home_option
@output_options
def list_tools(output: Output, project: Path, home: Path | None) -> None:
    """List the tools that are offered, and what is named in [mcp] and is not offered."""
    from onex.agents.tool_catalog import ToolCatalog

    with Registry.open(home, start=project) as registry:
        registry.refresh()
        catalog = ToolCatalog(registry)
        tools, withheld = catalog.tools() or (), catalog.withheld()
        expose = registry.configuration.agents.expose
    body: JsonValue = {
        "tools": [tool.to_json() for tool in tools],
        "withheld": [{"node": one.identity, "reason": one.reason} for one in withheld],
    }

    def human() -> None:
        rows = [
            (
                tool.name,
                tool.identity,
                tool.facts.in_words(),
                tool.description.split("\n", 1)[0],
            )
            for tool in tools
        ]
        output.table(("TOOL", "NODE", "MAY", "DESCRIPTION"), rows)
        for one in withheld:
            output.warning(f"{one.identity} is not offered: it {one.reason}")
        output.line(counted(len(tools), "tool"))
        if not expose:
            output.note('nothing is offered yet; write expose = ["tag:agent"] under [mcp]')

    output.emit(body, human)


@mcp.command()
@click.argument("client", type=click.Choice(sorted(CLIENTS)))
@project_option
@roots_option
@output_options
def config(output: Output, client: str, project: Path, roots: tuple[Path, ...]) -> None:
    """Print what the settings of a client need to start this server."""
    arguments = ["-m", "onex", "mcp", "--project", str(project.absolute())]
    for root in roots:
        arguments += ["--root", str(root.absolute())]
    kind = CLIENTS[client]
    text = kind.entry(sys.executable, arguments)
    body = {"client": client, "file": kind.file, "command": sys.executable, "args": arguments}

    def human() -> None:
        click.echo(text)
        output.note(f"add this to {kind.file}")

    output.emit(body, human)


@mcp.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Accept without asking.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 5 if something changed.")
@project_option
@home_option
@output_options
def accept(
    output: Output, name: str, yes: bool, check: bool, project: Path, home: Path | None
) -> int:
    """Take the tools of another server in as nodes, as they are now.

    NAME is that of a source of the kind mcp in onex.toml. The server is started, or asked, under
    strict isolation; what it lists is shown as far as it is new, and written to the folder of the
    source when you accept it. A tool that changes later is refused until it is accepted again.
    """
    require_mcp()
    from onex.agents.accepting import look_at

    with Registry.open(home, start=project) as registry:
        found = look_at(registry, name)
    is_written = False
    if not (found.is_current or check):
        _show_changes(output, found)
        if not yes and not _confirmed(output):
            raise UsageError(
                f"the tools of {name} were not accepted",
                hint="where nobody can be asked, --yes accepts what is shown",
            )
        found.write()
        with Registry.open(home, start=project) as registry:
            registry.refresh()
        is_written = True
    body: JsonValue = {
        "server": name,
        "folder": str(found.folder),
        "changes": [change.to_json() for change in found.changes],
        "skipped": [{"tool": t, "reason": r} for t, r in found.listing.skipped.items()],
        "tools": sorted(found.listing.tools),
        "written": is_written,
    }

    def human() -> None:
        count = counted(len(found.listing.tools), "tool")
        if found.is_current:
            output.line(f"{count} of {name}, and nothing changed")
        elif check:
            _show_changes(output, found)
            output.line(f"{name} has changed; onex mcp accept {name} takes its tools in")
        else:
            output.line(f"{count} of {name} written to {found.folder}")
            for node in found.nodes[:1]:
                output.note(f"onex run {node} runs the first of them")

    output.emit(body, human)
    return ExitCode.SECURITY_REFUSAL if check and not found.is_current else ExitCode.SUCCESS


def _show_changes(output: Output, found: Acceptance) -> None:
    for tool, reason in found.listing.skipped.items():
        output.warning(f"{tool} is left out: {reason}")
    for change in found.changes:
        output.note(f"{change.kind}: {printable(change.name)}")
        if change.kind == "new":
            listed = found.listing.tools[change.name]
            told = clean_text(str(listed.get("description") or ""), 1_000, keeps_lines=True)
            for line in told.splitlines():
                output.note(f"    {line}")
            schema = json.dumps(listed.get("inputSchema"), ensure_ascii=False)
            output.note(f"    inputs: {printable(clean_text(schema, 2_000))}")
        output.difference(change.lines, "    ", "dim")
    if not found.changes:
        output.note("what onex.toml says of the server changed")
    asked = ", ".join(map(str, found.server.asked)) or "nothing"
    output.note(f"each of them asks for: {asked}")


def _confirmed(output: Output) -> bool:
    if not output.is_human or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm("Accept these tools?", default=False, err=True)


def require_mcp() -> None:
    """Raise UsageError if what serving agents needs is not installed."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("onex mcp needs the package mcp", hint="pip install 'onex-registry[mcp]'")
