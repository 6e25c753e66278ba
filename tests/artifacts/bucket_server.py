"""A real server that speaks the protocol of S3, from a wheel, on free ports of loopback."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

KEY, SECRET, BUCKET = "onexkey", "onexsecret", "onex"


class BucketServer:
    """SeaweedFS, with one identity and one bucket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to know."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._ports[6]}",
        }

    def start(self) -> None:
        """Start it on free ports, which another process may take before it does."""
        for _ in range(5):
            with contextlib.ExitStack() as held:
                taken = [
                    held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(8)
                ]
                self._ports = [one.getsockname()[1] for one in taken]
            self._start()
            if self._is_ready():
                return
            self.stop()
        raise AssertionError((self._folder / "weed.log").read_text()[-3000:])

    def _start(self) -> None:
        data, config = self._folder / "data", self._folder / "s3.json"
        data.mkdir(exist_ok=True)
        identity = {
            "name": "onex",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        config.write_text(json.dumps({"identities": [identity]}))
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = self._ports
        weed = shutil.which("weed", path=str(Path(sys.executable).parent))
        assert weed is not None
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    weed, "-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                    f"-dir={data}", f"-master.port={master}", f"-master.port.grpc={master_grpc}",
                    f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}",
                    "-volume.max=50", "-master.volumeSizeLimitMB=64",
                    "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
                    "-s3", f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", f"-s3.config={config}",
                    "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
                ],
                stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip

    def _is_ready(self) -> bool:
        """Whether it takes objects, within some time; the first one makes the bucket."""
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        config = {name.lower(): value for name, value in self.environment.items()}
        store = S3Store(
            BUCKET,
            config=config,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        deadline = time.monotonic() + 60
        while (
            time.monotonic() < deadline
            and self._process is not None
            and self._process.poll() is None
        ):
            try:
                obstore.put(store, "ready", b"yes")
            except (BaseError, OSError):
                time.sleep(0.25)
            else:
                return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            # It does not end within a minute when it is asked to.
            self._process.kill()
            self._process.wait()
            self._process = None
