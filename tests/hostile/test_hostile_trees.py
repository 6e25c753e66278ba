"""Trees made to crash, hang or mislead a scan. Each costs only itself, soon, and is named."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Project

MEMORY_BYTES = 300 * 1024 * 1024

HEAD = (
    "name: {name}\nnamespace: test.{name}\nversion: 1.0.0\nmeta_type: tool\nlifecycle: draft\n"
    "entrypoint: python@node.py\n"
)


def manifest(name: str, more: str = "") -> bytes:
    return (HEAD.format(name=name) + more).encode()


def alias_bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines) + "\n"


def merge_bomb() -> str:
    lines = ["m0: &m0 {k: v}"]
    lines += [f"m{i}: &m{i}\n  <<: [{', '.join([f'*m{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines) + "\n"


DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "alias bomb": (manifest("x", alias_bomb()), "DOC006"),
    "merge-key bomb": (manifest("x", merge_bomb()), "DOC006"),
    "merge key": (manifest("x", "a:\n  <<: {b: 1}\n"), "DOC006"),
    "flow depth 100,000": (manifest("x", "deep: " + "[" * 100_000 + "]" * 100_000 + "\n"), "DOC007"),
    "mapping depth 100,000": (manifest("x", "deep: " + "{a: " * 50_000 + "1" + "}" * 50_000 + "\n"), "DOC007"),
    "indicators": (manifest("x", "deep:\n  " + "- " * 100_000 + "1\n"), "DOC007"),
    "question marks": (manifest("x", "? " * 100_000 + "1\n"), "DOC007"),
    "50 MB": (manifest("x", "# " + "x" * 50_000_000 + "\n"), "DOC002"),
    "NUL": (manifest("x", "description: a\0b\n"), "DOC003"),
    "UTF-16": (manifest("x").decode().encode("utf-16"), "DOC003"),
    "byte order mark": (b"\xef\xbb\xbf" + manifest("x"), "DOC003"),
    "lone surrogate in bytes": (manifest("x") + b"description: \xed\xa0\x80\n", "DOC003"),
    "duplicate key": (manifest("x", "name: y\n"), "DOC005"),
    "python tag": (manifest("x", "description: !!python/object/apply:os.system ['touch pwned']\n"), "DOC006"),
    "custom tag": (manifest("x", "description: !evil text\n"), "DOC006"),
    "NaN": (manifest("x", "rate: .nan\n"), "DOC010"),
    "infinity": (manifest("x", "rate: -.inf\n"), "DOC010"),
    "5,000-digit integer": (manifest("x", f"count: {'9' * 5000}\n"), "DOC010"),
    "two documents": (manifest("x", "---\nname: y\n"), "DOC008"),
    "list on top": (b"- 1\n- 2\n", "DOC009"),
    "empty": (b"", "DOC009"),
    "numeric key": (manifest("x", "1: one\n"), "DOC010"),
    "traversal in name": (manifest("x").replace(b"name: x", b"name: ../../x"), "MAN004"),
    "option as name": (manifest("x").replace(b"name: x", b"name: -rf"), "MAN004"),
    "bidi in name": (manifest("x").replace(b"name: x", "name: 'a\u202eb'".encode()), "MAN004"),
    "confusable in name": (manifest("x").replace(b"name: x", "name: p\u0430rse".encode()), "MAN004"),
    "confusable namespace": (manifest("x").replace(b"test.x", "test.\u0445".encode()), "MAN004"),
    "traversal in namespace": (manifest("x").replace(b"test.x", b"../../etc"), "MAN004"),
    "entry point outside": (manifest("x").replace(b"python@node.py", b"python@../../etc/passwd"), "MAN012"),
    "absolute entry point": (manifest("x").replace(b"python@node.py", b"python@/etc/passwd"), "MAN012"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_document_costs_only_itself(project: Project, name: str) -> None:
    content, code = DOCUMENTS[name]
    place = project.nodes / "bad"
    place.mkdir()
    (place / "node.onex.yaml").write_bytes(content)
    (place / "node.py").write_text("raise SystemExit('the code was run')\n")
    report = scan_safely(project)
    assert code in {problem["code"] for problem in report["problems"]}, report["problems"]
    assert report["sources"][0]["rejected"] == 1
    assert not (project.root / "pwned").exists()


def test_texts_that_databases_cannot_hold(project: Project, postgres: str) -> None:
    for number, text in enumerate(("a\\0b", "\\ud800", "\\x00", "\\uffff", "\\U0001F600")):
        place = project.nodes / f"odd{number}"
        place.mkdir()
        more = f'description: "{text}"\nauthor: "{text}"\ntags: ["{text}"]\n'
        (place / "node.onex.yaml").write_bytes(manifest(f"odd{number}", more))
        (place / "node.py").write_text("")
    report = scan_safely(project)
    assert {p["code"] for p in report["problems"]} <= {"DOC003", "DOC004"}
    listed = project.onex_here("list", "--format", "json").json
    project.environment["ONEX_STORAGE"] = postgres
    assert project.onex_here("scan", "nodes", "--format", "json").json["nodes"] == report["nodes"]
    assert project.onex_here("list", "--format", "json").json == listed
    assert project.onex_here("storage", "check").code == 0


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 * 1024**3)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    # Bound by a short relative name, since such paths are limited to 108 bytes.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices need a privilege that this user has not")


ODD_FILES: dict[str, Callable[[Path], object]] = {
    "sparse file of 200 GiB": sparse,
    "pipe": fifo,
    "socket": unix_socket,
    "device of endless zeros": device,
    "folder": lambda path: path.mkdir(),
    "link to a secret": lambda path: path.symlink_to("/etc/passwd"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("/nowhere"),
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_what_poses_as_a_manifest_is_not_read(project: Project, name: str) -> None:
    ODD_FILES[name](project.nodes / "bad.onex.yaml")
    report = scan_safely(project)
    if name != "folder":
        codes = {problem["code"] for problem in report["problems"]}
        assert codes <= {"DOC001", "DOC002"}
        assert codes
    assert "root:" not in json.dumps(report)


@pytest.mark.parametrize(
    "name", ["pipe", "device of endless zeros", "sparse file of 200 GiB", "link to a secret"]
)
def test_what_poses_as_code_is_not_read(project: Project, name: str) -> None:
    manifest_path = project.add("bad")
    code = manifest_path.parent / "node.py"
    code.unlink()
    ODD_FILES[name](code)
    scan_safely(project)


def test_names_that_could_mislead_are_shown_escaped(project: Project) -> None:
    project.add("good_one")
    folder = project.nodes / "\x1b[31mred\u202e-rf CON"
    folder.mkdir()
    (folder / "node.onex.yaml").write_bytes(
        manifest("shown", 'description: "\\e[2J\\e]0;owned\\a gone \\u202e"\n')
    )
    (folder / "broken.onex.yaml").write_text("name: [\n")
    scan_safely(project)
    for arguments in (("scan", "nodes"), ("list",), ("show", "shown"), ("validate", "nodes")):
        done = project.onex_here(*arguments)
        printed = done.stdout + done.stderr
        assert not any(ord(c) < 32 and c not in "\n\t" for c in printed), printed
        assert "\u202e" not in printed
    assert "\\x1b[2J" in project.onex_here("show", "shown").stdout


def test_a_tree_of_200_levels_and_one_beyond_the_limit_of_paths(project: Project) -> None:
    folder = project.nodes / "/".join(["d"] * 200)
    folder.mkdir(parents=True)
    (folder / "node.onex.yaml").write_bytes(manifest("deep"))
    (folder / "node.py").write_text("")
    current = os.open(project.nodes, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("n" * 100, dir_fd=current)
        following = os.open("n" * 100, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = following
    os.close(current)
    report = scan_safely(project, found=2)
    assert {problem["code"] for problem in report["problems"]} == {"DSC001"}


def test_loops_of_links_and_a_huge_folder(project: Project) -> None:
    (project.nodes / "self").symlink_to(project.nodes, target_is_directory=True)
    (project.nodes / "up").symlink_to("..", target_is_directory=True)
    crowd = project.nodes / "crowd"
    crowd.mkdir()
    for number in range(5000):
        (crowd / f"f{number}").touch()
    scan_safely(project)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_mount_of_the_tree_into_itself_is_walked_once(project: Project) -> None:
    project.add("good_one")
    inner = project.nodes / "again"
    inner.mkdir()
    program = f"mount --bind {project.nodes} {inner} && exec {sys.executable} -m onex scan nodes --format json"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", program],
        cwd=project.root, env=project.environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"this machine allows no mount: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    assert (report["nodes"], [p["code"] for p in report["problems"]]) == (1, ["DSC009"])


def test_an_unreadable_folder_keeps_what_was_found_there(project: Project) -> None:
    project.add("good_one")
    secret = project.add("secret").parent
    project.scan()
    command = project.command("scan", "nodes", "--format", "json")
    if os.geteuid() == 0:
        # Root reads everything, unless it gives that power up.
        powers = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", *command]
    secret.chmod(0)
    try:
        done = subprocess.run(
            command,
            cwd=project.root,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        secret.chmod(0o755)
    report = json.loads(done.stdout)
    assert report["nodes"] == 2
    assert report["sources"][0]["status"] == "degraded"
    assert [p["code"] for p in report["problems"]] == ["DSC001"]


@pytest.fixture
def restless(project: Project) -> Iterator[Project]:
    """A tree in which a file changes, and folders come and go, all the time."""
    manifest_path = project.add("restless")
    stop = threading.Event()

    def rewrite() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            (manifest_path.parent / "node.py").write_text("x = 1\n" * (count % 500))
            folder = project.nodes / f"passing{count % 7}"
            folder.mkdir(exist_ok=True)
            (folder / "node.onex.yaml").write_bytes(manifest(f"p{count % 7}")[: count % 90])
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()

    thread = threading.Thread(target=rewrite)
    thread.start()
    yield project
    stop.set()
    thread.join()


@pytest.mark.slow
def test_a_tree_that_changes_while_it_is_read(restless: Project) -> None:
    restless.add("good_one")
    for _ in range(5):
        done = restless.onex_here("scan", "nodes", "--format", "json")
        assert done.code == 0, done.stdout + done.stderr
    names = {n["name"] for n in restless.onex_here("list", "--format", "json").json["nodes"]}
    assert "good_one" in names
    with restless.registry() as registry:
        registry.storage.check()


def test_a_change_within_one_tick_of_the_clock_is_not_missed(project: Project) -> None:
    code = project.add("quick").parent / "node.py"
    with project.registry() as registry:
        for number in range(40):
            code.write_text(f"x = {number:03}\n")
            registry.scan([project.nodes])
            code.write_text(f"y = {number:03}\n")
            registry.scan([project.nodes])
            digest = registry.node(_reference("quick")).digest
            registry.scan([project.nodes], force=True)
            assert registry.node(_reference("quick")).digest == digest


def test_stamps_in_the_future_are_not_relied_on(project: Project) -> None:
    code = project.add("later").parent / "node.py"
    ahead = time.time() + 3600
    os.utime(code, (ahead, ahead))
    project.scan()
    before = project.onex_here("show", "later", "--format", "json").json["digest"]
    with code.open("r+") as file:
        file.write("X")
    os.utime(code, (ahead, ahead))
    project.scan()
    assert project.onex_here("show", "later", "--format", "json").json["digest"] != before


def _reference(name: str):
    from onex import NodeRef

    return NodeRef.parse(name)


def scan_safely(project: Project, found: int = 1) -> dict:
    """Scan, and check that it was quick, took little memory, and found the good node."""
    project.add("good_one")

    started = time.perf_counter()
    done, peak = project.onex_measured("scan", "nodes", "--format", "json", timeout=100)
    seconds = time.perf_counter() - started
    assert done.code == 0, (done.stdout, done.stderr)
    report = done.json
    assert report["sources"][0]["seconds"] < 60, report
    assert seconds < 60
    assert report["sources"][0]["found"] >= found, report
    assert peak < MEMORY_BYTES
    return report
