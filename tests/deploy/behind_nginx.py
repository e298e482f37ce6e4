"""deploy/nginx.conf in the real nginx, with servers of the tests for its nodes."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.service import ROOT, Service, until

SITE = (ROOT / "deploy" / "nginx.conf").read_text()
NODE = re.compile(r"\bnode-(\d):3000\b")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"

WHOLE = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@contextmanager
def behind_nginx(folder: Path, services: Sequence[Service], site: str = SITE) -> Iterator[str]:
    """Its address, while it runs. The services stand for the nodes in turn."""
    executable = shutil.which("nginx", path=PATH)
    assert executable, "`just setup` installs nginx"
    port = _free_port()
    (folder / "site.conf").write_text(_filled_in(site, services, port))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(WHOLE.format(folder=folder, user=user))
    command = [executable, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _filled_in(site: str, services: Sequence[Service], port: int) -> str:
    addresses = [service.url.removeprefix("http://") for service in services]
    site = NODE.sub(lambda node: addresses[int(node[1]) % len(addresses)], site)
    assert site.count("listen 80;") == 1
    return site.replace("listen 80;", f"listen 127.0.0.1:{port};")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
