"""A home folder with docker's config and helper programs."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from dregsy.credentials import Logins
from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint, Login, Secret
from dregsy.model.report import Event

HOST = "registry.example.com"
NOBODY = Login()
ALICE = Login("alice", Secret("s3cret"))
HUB_KEY = "https://index.docker.io/v1/"


def coded(username: str, password: str) -> str:
    """What docker writes into ``auth``."""
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def entry(username: str = "alice", password: str = "s3cret") -> dict[str, str]:
    """An entry of ``auths``."""
    return {"auth": coded(username, password)}


class Home:
    """A home folder with docker's config, and a folder of helper programs on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.environ = {"PATH": f"{self.bin}:{os.defpath}", "HOME": str(folder)}
        self.now = 0.0
        self.events: list[Event] = []

    @property
    def config(self) -> Path:
        """Where docker's config stands."""
        return self.folder / ".docker" / "config.json"

    def write(self, config: object) -> None:
        """Write docker's config, as JSON unless it is text already."""
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")

    def helper(self, name: str, script: str) -> None:
        """Install a helper program that first notes what it was asked."""
        self.program(name, f'read -r server\necho "$1 $server" >> {self.calls}\n{script}')

    def program(self, name: str, script: str) -> None:
        """Install a helper program that does nothing else."""
        path = self.bin / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def answering(self, name: str, username: str, secret: str) -> None:
        """Install a helper program that knows one login."""
        answer = self.folder / f"{name}.answer"
        answer.write_text(json.dumps({"ServerURL": "x", "Username": username, "Secret": secret}), "utf-8")
        self.helper(name, f"cat {answer}")

    def asked(self) -> list[str]:
        """What all helpers were asked, in order."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def logins(self, environ: Mapping[str, str] | None = None, time_limit: float = 20) -> Logins:
        """Make the object under test; its clock stands at ``now``."""
        environ = self.environ | dict(environ or {})
        hear = self.events.append
        return Logins(environ, self.folder, time_limit=time_limit, clock=lambda: self.now, emit=hear)

    async def find(self, host: str = HOST, repository: str = "team/app") -> Login:
        """Ask once, with a fresh object."""
        return await self.logins().login_for(Endpoint(host), repository)

    async def refuse(self, host: str = HOST, repository: str = "team/app", time_limit: float = 20) -> str:
        """Ask once where that is an error: its text, which names the host and keeps the secret."""
        with pytest.raises(CredentialsError) as caught:
            await self.logins(time_limit=time_limit).login_for(Endpoint(host), repository)
        assert caught.value.host == host
        assert caught.value.hint
        assert "s3cret" not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
        return str(caught.value)
