"""AWS's API for registries: moto keeps the repositories, and what stands in front of it issues tokens that end."""

import base64
import json
import os
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import aiohttp
import boto3
from aiohttp import web

from tests.testbed.forwarding import without
from tests.testbed.servers import die_with_parent, logged_port, stop
from tests.testbed.serving import Served

ACCOUNT = "123456789012"
REGION = "eu-west-1"
_PUBLIC = "SpencerFrontendService"


class Moto:
    """The moto server as a child process while its ``with`` lasts; ``host`` is its address."""

    def __init__(self, folder: Path) -> None:
        self.host = ""
        self._log = folder / "moto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = str(Path(sys.executable).parent / "moto_server")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-H", "127.0.0.1", "-p", "0"],
                env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "false"},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call, which takes no lock
            )
        try:
            self.host = f"127.0.0.1:{logged_port(self._log, 'Running on http://127.0.0.1', self._process)}"
        except BaseException:
            stop(self._process)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        stop(self._process)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to AWS: what for, and with which access key."""

    operation: str
    key: str


class AwsApi(Served):
    """What AWS answers; ``issued`` is told each new password, which is good for ``ttl`` seconds by AWS's word.

    ``failures`` holds codes of errors by operation, each to be given once, or for ever where it is a text.
    """

    def __init__(
        self,
        moto: Moto,
        issued: Callable[[str], None] = lambda _password: None,
        ttl: float = 43200,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.asked: list[Asked] = []
        self.failures: dict[str, list[str] | str] = {}
        self.ttl = ttl
        self.spoiled = ""
        """What is said instead of a token."""
        self._clients: dict[str, Any] = {}
        self._moto = f"http://{moto.host}"
        self._issued = issued
        self.public: set[str] = set()
        """The repositories of the public registry."""
        self._client: aiohttp.ClientSession | None = None

    @property
    def environ(self) -> dict[str, str]:
        """Variables by which AWS's tools find this server, with a login."""
        return {
            "AWS_ENDPOINT_URL": f"{self.scheme}://{self.host}",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "not-so-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def count(self, operation: str) -> int:
        """Count the questions of one kind."""
        return sum(one.operation == operation for one in self.asked)

    def client(self, account: str = ACCOUNT) -> Any:
        """Return a client of AWS's that asks moto itself, for a test to prepare and to look."""
        if account not in self._clients:  # making one takes a tenth of a second
            self._clients[account] = self._made(account)
        return self._clients[account]

    def _made(self, account: str) -> Any:
        session = boto3.session.Session("AKIATEST", "secret", region_name=REGION)
        if account != ACCOUNT:
            sts = session.client("sts", endpoint_url=self._moto)
            given = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/test", RoleSessionName="test")["Credentials"]
            key = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
            session = boto3.session.Session(*key, region_name=REGION)
        return session.client("ecr", endpoint_url=self._moto)

    async def application(self) -> web.Application:
        """Serve the one place that all questions go to."""
        app = web.Application()
        app.router.add_post("/", self._answer)
        app.cleanup_ctx.append(self._connected)
        return app

    async def _connected(self, app: web.Application) -> AsyncIterator[None]:
        del app
        async with aiohttp.ClientSession() as self._client:
            async with self._client.post(f"{self._moto}/moto-api/reset"):
                pass
            yield

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        operation = operation or parse_qs(body.decode())["Action"][0]
        key = request.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        self.asked.append(Asked(operation, key))
        failures = self.failures.get(operation, [])
        if failures:
            code = failures if isinstance(failures, str) else failures.pop(0)
            return _refused(operation, code, is_sts=not service)
        if operation == "GetAuthorizationToken":
            return self._token(public=service == _PUBLIC)
        if service == _PUBLIC:
            return self._public_answer(operation, json.loads(body))
        assert self._client is not None
        headers = without(request.headers.copy(), "Host", "Content-Length")
        async with self._client.post(f"{self._moto}/", data=body, headers=headers) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), headers={"Content-Type": answer.headers["Content-Type"]}
            )

    def _token(self, *, public: bool) -> web.Response:
        password = f"token-{uuid.uuid4().hex}"
        self._issued(password)
        text = base64.b64encode(f"AWS:{password}".encode()).decode()
        data = {"authorizationToken": self.spoiled or text, "expiresAt": time.time() + self.ttl}
        return _json({"authorizationData": data if public else [data]})

    def _public_answer(self, operation: str, query: dict[str, Any]) -> web.Response:
        """Do for public repositories what moto does not know."""
        if operation == "CreateRepository":
            self.public.add(query["repositoryName"])
        elif not self.public.issuperset(query["repositoryNames"]):
            return _json({"__type": "RepositoryNotFoundException", "message": "no"}, 400)
        return _json({"repositories": []})


def _refused(operation: str, code: str, *, is_sts: bool) -> web.Response:
    if is_sts:
        error = f"<Error><Code>{code}</Code><Message>{operation} is refused</Message></Error>"
        text = f"<ErrorResponse>{error}</ErrorResponse>"
        return web.Response(status=400, text=text, content_type="text/xml")
    return _json({"__type": code, "message": f"{operation} is refused"}, 400)


def _json(document: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(document, status=status, content_type="application/x-amz-json-1.1")
