"""Debian's nginx with the configuration it is installed with, and one site before Dabir."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.service import until

INSTALLED = Path("/etc/nginx/nginx.conf")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"

SITE = """
server {{
    listen 127.0.0.1:{port};

    location / {{
        proxy_pass {target};
    }}

    location /socket.io/ {{
        proxy_pass {target};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }}
}}
"""
"""What a newcomer writes: nothing about buffering, time-outs or streams."""


@contextmanager
def nginx(folder: Path, target: str) -> Iterator[str]:
    """Its address, while it runs; all that it writes is below `folder`."""
    executable = shutil.which("nginx", path=PATH)
    assert executable, "`just setup` installs nginx"
    port = _free_port()
    (folder / "site.conf").write_text(SITE.format(port=port, target=target))
    (folder / "nginx.conf").write_text(_configuration(folder))
    command = [executable, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.PIPE)
    try:
        until(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _configuration(folder: Path) -> str:
    """The installed one, but for where it writes, whom it runs as, and which sites it has."""
    text = INSTALLED.read_text()
    text = re.sub(r"^user .*$", "user root;" if os.geteuid() == 0 else "", text, flags=re.M)
    text = text.replace("/run/nginx.pid", f"{folder}/nginx.pid")
    text = text.replace("/var/log/nginx", str(folder))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return text.replace(
        "include /etc/nginx/sites-enabled/*;", f"{temporary}\n\tinclude {folder}/site.conf;"
    )


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
