"""Calls one tool of another server by the Model Context Protocol. onex mcp accept wrote this file.

What is beside it is what was accepted: server.json says how the server is reached and what pins it,
tool.json what the tool was when somebody looked at it.
"""

import asyncio
import contextlib
import difflib
import hashlib
import json
import ssl
from pathlib import Path
from urllib.parse import urlsplit

MAXIMUM_LINE = 16 * 1024 * 1024
MAXIMUM_TOOLS = 2_000
MAXIMUM_PAGES = 200
MAXIMUM_FILES = 100
LISTING_SECONDS = 60
DEFINED = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


def list_tools(context):
    """Every tool of the server, as it is now."""

    async def ask():
        async with asyncio.timeout(LISTING_SECONDS):
            return await _with_server(context, _listing)

    return _run(ask())


def call_tool(context, inputs):
    """Call the accepted tool, if the server still has it as it was."""
    accepted = json.loads((context.node_dir / "tool.json").read_text(encoding="utf-8"))

    async def use(client):
        found = await _find(client, accepted["name"])
        if found != accepted:
            raise RuntimeError(_changed(context, accepted, found))
        return _result(context, await client.call_tool(accepted["name"], dict(inputs)), accepted)

    return _run(_with_server(context, use))


def _run(coroutine):
    """Run to the end; of several errors that a group holds the first is told."""
    try:
        return asyncio.run(coroutine)
    except BaseExceptionGroup as group:
        error = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


async def _with_server(context, use):
    from mcp import Client

    server = json.loads((context.node_dir / "server.json").read_text(encoding="utf-8"))
    async with contextlib.AsyncExitStack() as stack:
        transport = await _transport(context, server, stack)
        client = await stack.enter_async_context(Client(transport, cache=None))
        return await use(client)


async def _transport(context, server, stack):
    if server["command"]:
        _require_digest(server)
        return _program(server["command"])
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    headers = {}
    if server["token"]:
        headers["authorization"] = f"Bearer {context.get_secret(server['token'])}"
    verify = _pinned(server) if server["certificate"] else True
    http = httpx2.AsyncClient(headers=headers, verify=verify, timeout=300, trust_env=False)
    await stack.enter_async_context(http)
    return streamable_http_client(server["url"], http_client=http)


def _require_digest(server):
    whole = hashlib.sha256()
    for name in server["files"]:
        whole.update(hashlib.sha256(Path(name).read_bytes()).digest())
    found = f"sha256:{whole.hexdigest()}"
    if found != server["digest"]:
        raise RuntimeError(
            f"the files of the server {server['name']} are not those that are pinned: they have"
            f" {found}, and {server['digest']} was accepted; look at them, write their digest into"
            f" onex.toml, and run: onex mcp accept {server['name']}"
        )


def _pinned(server):
    """TLS with the one certificate that is pinned, whoever issued it."""
    parts = urlsplit(server["url"])
    text = ssl.get_server_certificate((parts.hostname, parts.port or 443), timeout=30)
    found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()
    if f"sha256:{found}" != server["certificate"]:
        raise RuntimeError(
            f"the certificate of the server {server['name']} is sha256:{found}, which is not the"
            " one that is pinned"
        )
    tls = ssl.create_default_context(cadata=text)
    tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # The certificate itself is what is trusted, not the name that it was issued for.
    tls.check_hostname = False
    return tls


@contextlib.asynccontextmanager
async def _program(command):
    """A server that is a program, confined as this process is, in the same group of processes."""
    import anyio
    import mcp_types as types
    from mcp.shared.message import SessionMessage

    process = await anyio.open_process(command)
    to_client, read = anyio.create_memory_object_stream(0)
    write, from_client = anyio.create_memory_object_stream(0)

    async def receive():
        buffer = b""
        async with to_client:
            async for chunk in process.stdout:
                *lines, buffer = (buffer + chunk).split(b"\n")
                if len(buffer) > MAXIMUM_LINE:
                    raise RuntimeError(f"a message of the server has more than {MAXIMUM_LINE} bytes")
                for line in lines:
                    try:
                        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                    except ValueError:
                        raise RuntimeError(
                            f"the server wrote what is not a message: {line[:200]!r}"
                        ) from None
                    await to_client.send(SessionMessage(message))

    async def tell():
        async for chunk in process.stderr:
            print(chunk.decode("utf-8", "replace"), end="", flush=True)

    async def send():
        async with from_client:
            async for message in from_client:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send(text.encode() + b"\n")

    async with anyio.create_task_group() as group:
        for task in (receive, send, tell):
            group.start_soon(task)
        try:
            yield read, write
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            group.cancel_scope.cancel()


async def _tools(client):
    cursor, count = None, 0
    for _ in range(MAXIMUM_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            count += 1
            if count > MAXIMUM_TOOLS:
                raise RuntimeError(f"the server has more than {MAXIMUM_TOOLS} tools")
            body = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
            yield {key: body[key] for key in DEFINED if key in body}
        if not page.next_cursor:
            return
        cursor = page.next_cursor
    raise RuntimeError(f"the list of tools has more than {MAXIMUM_PAGES} pages")


async def _listing(client):
    told = client.server_info
    return {
        "server": {} if told is None else {"name": told.name, "version": told.version},
        "tools": [tool async for tool in _tools(client)],
    }


async def _find(client, name):
    found = [tool async for tool in _tools(client) if tool["name"] == name]
    if len(found) > 1:
        raise RuntimeError(f"the server has several tools called {name}")
    return found[0] if found else None


def _changed(context, accepted, found):
    """What to say of a tool that changed: what is other now, and the whole difference in the log."""
    server = json.loads((context.node_dir / "server.json").read_text(encoding="utf-8"))["name"]
    before, after = (json.dumps(one, indent=1, sort_keys=True).split("\n") for one in (accepted, found))
    print(*difflib.unified_diff(before, after, "accepted", "now", lineterm="", n=1), sep="\n")
    hint = f"look at the difference: onex mcp accept {server}"
    if found is None:
        return f"the server {server} has no tool {accepted['name']} any more; {hint}"
    keys = sorted(key for key in accepted.keys() | found.keys() if accepted.get(key) != found.get(key))
    told = "; ".join(f"{key} was {_short(accepted.get(key))} and is {_short(found.get(key))}" for key in keys)
    return f"the tool {accepted['name']} is not what was accepted: {told}; {hint}"


def _short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:297] + "..."


def _result(context, result, accepted):
    texts = [part.text for part in result.content if part.type == "text"]
    if result.is_error:
        raise RuntimeError("\n".join(texts)[:4_000] or "the server says that the call failed")
    if "outputSchema" in accepted:
        return result.structured_content
    found = {"text": "\n".join(texts)}
    if result.structured_content is not None:
        found["structured"] = result.structured_content
    files = _files(context, result.content)
    return {**found, "files": files} if files else found


def _files(context, content):
    """Pictures, sounds and embedded files, as artifacts."""
    import base64

    found = []
    for part in content[:MAXIMUM_FILES]:
        if part.type in ("image", "audio"):
            data, ending = base64.b64decode(part.data), part.mime_type.rpartition("/")[2]
        elif part.type == "resource" and hasattr(part.resource, "blob"):
            data, ending = base64.b64decode(part.resource.blob), "bin"
        else:
            continue
        ending = "".join(c for c in ending if c.isalnum())[:10] or "bin"
        place = context.workdir / f"file-{len(found)}.{ending}"
        place.write_bytes(data)
        found.append(context.artifact(place))
    return found
