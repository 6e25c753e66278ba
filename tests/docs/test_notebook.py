"""A real notebook: what its cells show, and a run that shows itself while it lasts."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import Project
from tests.docs.blocks import DOCS, blocks_of

SHOWN = ("text/html", "image/svg+xml")


@pytest.mark.slow
def test_the_cells_of_the_page_show_what_they_end_with(
    make_project: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project("greeter")
    (project.root / "onex.toml").unlink()
    assert project.onex("init").code == 0
    assert project.onex("new", "greeter").code == 0
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook()
    blocks = blocks_of(DOCS / "python.md", "python")
    # asyncio.run is for programs that have no event loop yet, as a notebook has.
    cells = [block.text for block in blocks if "asyncio.run" not in block.text]
    begin = next(i for i, text in enumerate(cells) if "show_progress" in text)
    extra = [
        "registry = Registry.open()\nawait registry.arun('greeter', inputs={'who': 'Ada'})",
        "registry.resolve('greeter').graph",
        "registry.query()",
        "registry.run('greeter', inputs={'whom': 'x'})",
    ]
    notebook.cells = [nbformat.v4.new_code_cell(text) for text in [*cells, *extra]]
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", allow_errors=True,
        resources={"metadata": {"path": str(project.root)}},
    )  # fmt: skip
    client.execute()
    outputs = [cell.outputs for cell in notebook.cells]
    run, resolution, search = outputs[begin], outputs[begin + 1], outputs[begin + 2]
    # The progress comes first, and its last state says how the step ended.
    assert run[0].output_type == "display_data"
    assert "greet" in run[0].data["text/html"]
    assert "succeeded in" in run[0].data["text/html"]
    assert "<svg" in run[1].data["text/html"]
    assert "greeting" in run[1].data["text/html"]
    assert "<svg" in run[1].data["image/svg+xml"]
    assert "tool://local.greeter@0.1.0" in resolution[0].data["text/html"]
    assert "<table>" in search[0].data["text/html"]
    awaited, graph, listing, refused = outputs[len(cells) :]
    assert "Hello, Ada!" in awaited[0].data["text/html"]
    assert "<svg" in graph[0].data["image/svg+xml"]
    assert "greeter" in listing[0].data["text/html"]
    assert refused[0].output_type == "error"
    assert "whom" in refused[0].evalue


def test_what_a_node_returns_cannot_write_into_the_page(
    make_project: Callable[[str], Project],
) -> None:
    project = make_project("hostile")
    script = "<script>alert(1)</script>"
    project.add("x", f"def execute(context):\n    return {script!r}\n", description=script)
    project.add("y", f"def execute(context):\n    raise ValueError({script!r})\n")
    project.scan()
    with project.registry() as registry:
        shown = [
            registry.run("x")._repr_html_(),
            registry.run("y")._repr_html_(),
            registry.query()._repr_html_(),
            registry.search("x")._repr_html_(),
        ]
    for html in shown:
        assert script not in html
        assert "alert(1)" in html
