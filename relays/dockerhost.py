"""Where the docker daemon listens, and how it wants to be spoken to, in the words of docker's own variables.

The config file goes first, then the environment, then docker's current context, then the usual socket.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dregsy.errors import RelayUnavailable
from dregsy.model import pattern

NAME = "docker"
USUAL = "unix:///var/run/docker.sock"

_VERSION = pattern.compile_whole(r"[0-9]+\.[0-9]+")
_SSH_SECONDS = 10
_LOGIN = "holds a login, which everybody could read: docker daemons know their clients by certificates"


def check_address(text: str) -> None:
    """Raise ValueError for an address with a login in it; ``ssh://`` may name a user, but no password."""
    scheme, _, rest = text.rpartition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (scheme != "ssh" or ":" in user):
        raise ValueError(_LOGIN)


def environment(host: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return DOCKER_HOST, and what else counts of DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION.

    ``host`` is what the config file says. RelayUnavailable for what cannot be used.
    """
    names = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION")
    known = {name: environ[name] for name in names if environ.get(name)}
    if not _VERSION(known.get("DOCKER_API_VERSION", "1.1")):
        raise RelayUnavailable(
            "DOCKER_API_VERSION holds no version", relay=NAME, hint="write it as 1.41, or leave it to the daemon"
        )
    if host or environ.get("DOCKER_HOST"):
        known["DOCKER_HOST"] = host or environ["DOCKER_HOST"]
    else:
        known |= _context(environ)
    try:
        check_address(known["DOCKER_HOST"])
    except ValueError as error:
        raise RelayUnavailable(
            f"the docker daemon's address {error}", relay=NAME, hint="see DOCKER_CERT_PATH"
        ) from None
    return known


def ssh_command(address: str) -> list[str]:
    """Return the program whose input and output are those of the daemon at ``ssh://[USER@]HOST[:PORT][/SOCKET]``."""
    parts = urlsplit(address)
    command = ["ssh", "-T", "-o", f"ConnectTimeout={_SSH_SECONDS}", "-o", "BatchMode=yes"]
    command += ["-l", parts.username] if parts.username else []
    command += ["-p", str(parts.port)] if parts.port else []
    socket = ["--host", f"unix://{parts.path}"] if parts.path.strip("/") else []
    return [*command, "--", parts.hostname or "", shlex.join(["docker", *socket, "system", "dial-stdio"])]


def _context(environ: Mapping[str, str]) -> dict[str, str]:
    """What ``docker context`` has selected, which keeps certificates under the names of DOCKER_CERT_PATH."""
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker")
    name = environ.get("DOCKER_CONTEXT") or _read(folder / "config.json").get("currentContext") or "default"
    if name == "default":
        return {"DOCKER_HOST": USUAL}
    key = hashlib.sha256(str(name).encode()).hexdigest()
    endpoint = (_read(folder / "contexts/meta" / key / "meta.json").get("Endpoints") or {}).get("docker") or {}
    if not endpoint.get("Host"):
        raise RelayUnavailable(
            f"docker's context {str(name)!r} names no daemon",
            relay=NAME,
            hint="see 'docker context ls', or set docker.dockerhost",
        )
    found = {"DOCKER_HOST": str(endpoint["Host"])}
    certificates = folder / "contexts/tls" / key / "docker"
    if certificates.is_dir():
        found["DOCKER_CERT_PATH"] = str(certificates)
        found["DOCKER_TLS_VERIFY"] = "" if endpoint.get("SkipTLSVerify") else "1"
    return found


def _read(path: Path) -> dict[str, Any]:
    """The object in a file of docker's; empty where there is none, as docker has it."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
