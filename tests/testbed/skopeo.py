"""Skopeo, the independent judge: what it reads from a registry is what is there.

As root, skopeo remembers in /var/lib/containers/cache where it has seen blobs, and then mounts them within the
target instead of reading the source. Each Skopeo here has a memory of its own, so that tests do not meet.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path

SECONDS = 60
"""The longest that one call may take."""

_NESTED = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


class Skopeo:
    """Runs skopeo with its home in ``folder``: no logins, no certificates and no memory of this machine's.

    References are written without a transport, such as ``127.0.0.1:5000/a/b:v1``; TLS is not asked for.
    ``login`` is ``user:password``.
    """

    def __init__(self, folder: Path, *, login: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._login = login
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_RUNTIME_DIR": str(folder),
            "TMPDIR": str(folder),
            "_CONTAINERS_ROOTLESS_UID": "1000",  # has root keep the memory of blobs under XDG_DATA_HOME
        }

    def run(self, *args: str) -> str:
        """Run skopeo and return what it prints; AssertionError with its complaint when it fails."""
        command = ["skopeo", "--insecure-policy", *args]
        done = subprocess.run(command, env=self._env, capture_output=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, f"skopeo {' '.join(args)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode()

    def copy(self, source: str, target: str, *flags: str) -> None:
        """Copy an image with everything its index lists."""
        open_doors = ("--src-tls-verify=false", "--dest-tls-verify=false")
        logins = ("--src-creds", self._login, "--dest-creds", self._login) if self._login else ()
        self.run("copy", "--all", *open_doors, *logins, *flags, f"docker://{source}", f"docker://{target}")

    def tags(self, repository: str) -> list[str]:
        """List the tags of a repository."""
        printed = json.loads(self.run("list-tags", *self._flags(), f"docker://{repository}"))
        return [str(tag) for tag in printed["Tags"]]

    def delete(self, reference: str) -> None:
        """Delete the manifest that a reference names."""
        self.run("delete", *self._flags(), f"docker://{reference}")

    def inspect_raw(self, reference: str) -> bytes:
        """Return a manifest as the registry sends it."""
        return self.run("inspect", "--raw", *self._flags(), f"docker://{reference}").encode()

    def digests(self, reference: str) -> dict[str, str]:
        """Return the media types of the manifest and of all manifests below it, by the digests of what was sent."""
        raw = self.inspect_raw(reference)
        document = json.loads(raw)
        kind = document.get("mediaType", "")
        found = {f"sha256:{hashlib.sha256(raw).hexdigest()}": kind}
        name = reference.partition("@")[0]
        name = name.rpartition(":")[0] if "/" not in name.rpartition(":")[2] else name
        for entry in document.get("manifests", []) if kind in _NESTED else ():
            found |= self.digests(f"{name}@{entry['digest']}")
        return found

    def same_image(self, source: str, target: str) -> bool:
        """Tell whether two references are byte for byte the same manifests, all the way down."""
        return self.digests(source) == self.digests(target)

    def _flags(self) -> tuple[str, ...]:
        return ("--tls-verify=false", "--creds", self._login) if self._login else ("--tls-verify=false",)
