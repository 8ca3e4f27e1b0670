"""No secret is told by anything that the command says, writes or starts, at the most talkative level."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from tests.testbed.asking import ask
from tests.testbed.aws import Moto
from tests.testbed.certificates import Authority
from tests.testbed.command import Dregsy
from tests.testbed.daemon import Daemon
from tests.testbed.ecr import HOST, Ecr
from tests.testbed.faults import Fault, Gate
from tests.testbed.leaks import contents, leaks, processes_below
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import basic, bearer, push
from tests.testbed.raw import ForwardProxy
from tests.testbed.servers import DockerRegistry
from tests.testbed.tokens import Grant, TokenServer

PASSWORD = "p4ss/w+rd=&%?horse"
WRONG = "wr0ng/w+rd=&%?horse"
AWS_KEY, AWS_SESSION = "aws/Secret+Access/Key0", "aws/Session+Token/0"
AT_PROXY = "proxy-p4ss+word"
EVERYTHING = frozenset({"pull", "push"})


def auth(user: str, password: str) -> str:
    """Write a login as config files have it."""
    return base64.b64encode(json.dumps({"username": user, "password": password}).encode()).decode()


def repeated(*secrets: str) -> bytes:
    """What a registry answers that repeats what it was sent."""
    told = "; ".join([*secrets, *(base64.b64encode(one.encode()).decode() for one in secrets)])
    return json.dumps({"errors": [{"code": "DENIED", "message": f"no {told}"}]}).encode()


@dataclass
class Bed:
    """Registries with logins of every kind, all of which are in the way somewhere."""

    plain: RecordingProxy
    private: RecordingProxy
    bearer: RecordingProxy
    tokens: TokenServer
    ecr: Ecr
    identity: str
    gate: Gate = field(default_factory=Gate)

    @property
    def secrets(self) -> list[str]:
        """All secrets there are by now."""
        signed = [one.query.partition("=")[2] for one in self.plain.cdn.seen]
        fixed = [PASSWORD, WRONG, AWS_KEY, AWS_SESSION, AT_PROXY, self.identity, self.ecr.passwords.password]
        return [*fixed, *signed, *self.tokens._issued]


@pytest.fixture
def bed(tmp_path: Path, authority: Authority, moto: Moto, registry_a: DockerRegistry, repo: str) -> Iterator[Bed]:
    """A source that signs addresses, one with a password, one with tokens, and AWS."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    with (
        TokenServer(authority, users={"alice": PASSWORD}, grants=[Grant("alice", "*", EVERYTHING)]) as tokens,
        DockerRegistry(tmp_path / "private", users={"alice": PASSWORD}) as private,
        RecordingProxy(tokens.host) as token_proxy,
        Ecr(tmp_path / "ecr", moto) as ecr,
    ):
        config = tokens.config()
        config["auth"]["token"]["realm"] = f"http://{token_proxy.host}/token"
        with (
            DockerRegistry(tmp_path / "bearer", extra=config) as guarded,
            RecordingProxy(registry_a.host) as plain,
            RecordingProxy(private.host) as basic_proxy,
            RecordingProxy(guarded.host) as bearer_proxy,
        ):
            push(private.host, repo, image, "v1", headers=basic("alice", PASSWORD))
            minted = tokens.mint("alice", f"repository:{repo}:pull,push")
            push(guarded.host, repo, image, "v1", headers=bearer(minted))
            identity = tokens.identity_token("alice")
            answer = repeated(identity)
            token_proxy.faults = [Fault(path="/token", method="POST", status=400, body=answer, skip=1)]
            plain.faults = [
                Fault(path="/blobs/sha256", method="GET", redirect=True),
                Fault(path="/blobs/sha256", method="GET", redirect=True, expired=True, times=-1),
            ]
            # Who asks for this repository is told what he sent.
            basic_proxy.faults = [Fault(path="/refused/", status=403, body=repeated(PASSWORD), times=-1)]
            bearer_proxy.faults = [Fault(path="/refused/", status=403, body=repeated(identity, minted), times=-1)]
            yield Bed(plain, basic_proxy, bearer_proxy, tokens, ecr, identity)


def task(name: str, source: str | dict[str, Any], target: str | dict[str, Any], *mappings: Any) -> dict[str, Any]:
    """Write a task between locations, or hosts."""
    source, target = ({"registry": one} if isinstance(one, str) else one for one in (source, target))
    return {"name": name, "source": source, "target": target, "mappings": [*mappings]}


def document(bed: Bed, repo: str, relay: str, target: str) -> dict[str, Any]:
    """Return a config in which every kind of login is used, some with success."""
    password, wrong = auth("alice", PASSWORD), auth("alice", WRONG)
    to_aws = {"registry": HOST, "auth-refresh": "10h"}
    source, other = ({"registry": bed.private.host, "auth": one} for one in (password, wrong))
    both = [{"from": repo}, {"from": "refused/it"}]
    tasks = [
        task("password", source, target, *both),
        task("wrong", other, target, {"from": repo}),
        task("identity token", bed.bearer.host, target, *both),
        task("signed", bed.plain.host, target, {"from": repo, "to": f"{repo}/signed"}),
        task("aws", source, to_aws, {"from": repo}),
    ]
    settings = {"certs-dir": str(bed.ecr.certs)}
    return {"relay": relay, relay: settings, "retries": 0, "state": "state", "tasks": tasks}


@asynccontextmanager
async def user(bed: Bed, folder: Path, **environ: str) -> AsyncIterator[Dregsy]:
    """Be somebody with logins in docker's config and in the environment, behind a proxy with a login."""
    async with ForwardProxy(bed.ecr.front.host) as proxy:
        way = {"HTTPS_PROXY": f"http://somebody:{AT_PROXY}@{proxy.host}", "NO_PROXY": "127.0.0.1,localhost"}
        aws = {**bed.ecr.api.environ, "AWS_SECRET_ACCESS_KEY": AWS_KEY, "AWS_SESSION_TOKEN": AWS_SESSION}
        dregsy = Dregsy(folder / "user", {**aws, **way, "TMPDIR": str(folder), **environ})
        (dregsy.folder / ".docker").mkdir()
        entry = {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": bed.identity}
        (dregsy.folder / ".docker/config.json").write_text(json.dumps({"auths": {bed.bearer.host: entry}}))
        yield dregsy


@pytest.mark.parametrize(("relay", "form"), [("native", "text"), ("skopeo", "json")])
async def test_whatever_is_asked_for(relay: str, form: str, bed: Bed, tmp_path: Path, repo: str) -> None:
    """Runs, reports, checks, plans: nothing tells a password, a token, a key of AWS, or what signs an address."""
    commands: Sequence[Sequence[str]] = (
        ("run", "--log-level", "trace"),
        ("run", "--log-level", "trace", "--json"),
        ("check", "--diff", "--json"),
        ("verify", "--deep", "--log-level", "trace"),
        ("show",),
    )
    with DockerRegistry(tmp_path / "target") as target:
        async with user(bed, tmp_path, LOG_FORMAT=form, LOG_METHODS="true") as dregsy:
            config = dregsy.config(document(bed, repo, relay, target.host))
            done = [await asyncio.to_thread(dregsy.run, *command, "-config", config) for command in commands]

    told = [one.said for one in done]
    assert "answered 400: DENIED no ***" in told[0]
    assert told[0].count("answered 403: DENIED no ***") >= 2
    assert [one.code for one in done[:2]] == [1, 1]
    assert all(name in told[0] for name in ("password", "wrong", "identity token", "signed", "aws"))
    assert told[0].count("copied") >= 3, told[0]
    assert leaks(bed.secrets, [*told, *contents(dregsy.folder / "state")]) == []


@pytest.mark.parametrize("relay", ["native", "skopeo"])
async def test_while_it_runs(relay: str, bed: Bed, tmp_path: Path, repo: str) -> None:
    """Not in metrics, nor in what the machine shows of processes that are started, nor in any file meanwhile."""
    held = Fault(path="/blobs/uploads/", method="POST", gate=bed.gate)
    with DockerRegistry(tmp_path / "target") as target, RecordingProxy(target.host, held) as proxy:
        async with user(bed, tmp_path) as dregsy:
            config = dregsy.config({**document(bed, repo, relay, proxy.host), "parallel": 1})
            daemon = Daemon(tmp_path / "user")
            daemon.dregsy = dregsy
            daemon.start("run", "--log-level", "trace", "--listen", ":0", "-config", config)
            assert daemon.process is not None
            try:
                await bed.gate.arrival()
                said = daemon.said("metrics and health are at http://127.0.0.1:")
                url = next(word for word in said.split() if word.startswith("http://127"))
                told = [ask(url, path).text for path in ("/metrics", "/healthz", "/readyz")]
                told += processes_below(daemon.process.pid)
                told += contents(dregsy.folder / "state")
            finally:
                bed.gate.open()
                await asyncio.to_thread(daemon.process.wait, 100)

    told += [(dregsy.folder / name).read_text() for name in ("out", "err")]
    assert leaks(bed.secrets, told) == []


LEAKY = """
from pydantic import BaseModel

class Leaky:
    class Settings(BaseModel):
        pass

    features = frozenset()

    def __init__(self, settings, toolbox):
        self.toolbox = toolbox

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        if {at_end}:
            raise KeyError(self.said)

    async def copy(self, copy, source, targets):
        login = await self.toolbox.logins.login_for(source, copy.source.repository)
        self.login = login
        self.said = f"{{login.password.reveal()}} of {{login}}"
        raise RuntimeError(self.said)
"""


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_bug(form: str, at_end: bool, bed: Bed, tmp_path: Path, repo: str) -> None:
    """A relay's bug whose words are a password: the traceback is there, in the log or at the end, and stars in it."""
    site = tmp_path / "site"
    (site / "leaky-1.dist-info").mkdir(parents=True)
    (site / "leaky.py").write_text(LEAKY.format(at_end=at_end))
    (site / "leaky-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1\n")
    (site / "leaky-1.dist-info/entry_points.txt").write_text("[dregsy.relays.v1]\nleaky = leaky:Leaky\n")
    async with user(bed, tmp_path, PYTHONPATH=str(site), LOG_FORMAT=form) as dregsy:
        source = {"registry": bed.private.host, "auth": auth("alice", PASSWORD)}
        tasks = [task("leaks", source, bed.plain.host, {"from": repo, "to": f"{repo}/copy"})]
        file = dregsy.config({"relay": "leaky", "retries": 0, "tasks": tasks})
        done = await asyncio.to_thread(dregsy.run, "run", "--log-level", "trace", "-config", file)

    assert done.code == (70 if at_end else 1)
    assert "RuntimeError: *** of Login(username='alice', password=Secret(***)" in done.said
    assert ("KeyError: " in done.err) == at_end
    assert leaks(bed.secrets, [done.said]) == []


@pytest.mark.parametrize(
    ("source", "environ"),
    [
        ({"registry": f"alice:{PASSWORD}@registry.test"}, {}),
        ({"registry": f"https://alice:{AT_PROXY}@registry.test/x"}, {}),
        ({"registry": "registry.test", "auth": AWS_KEY}, {}),
        ({"registry": "registry.test", "pasword": AWS_KEY}, {}),
        ("registry.test", {"HTTPS_PROXY": f"socks5://somebody:{AT_PROXY}@127.0.0.1:1"}),
        ("registry.test", {"HTTPS_PROXY": f"http://somebody:{AT_PROXY}@127.0.0.1:1"}),
        ("registry.test", {"HTTPS_PROXY": f"http://somebody:{AT_PROXY}@[127.0.0.1:1"}),
        ("registry.test", {"DOCKER_AUTH_CONFIG": f'{{"auths": {{"registry.test": {{"auth": "{AWS_KEY}"}}}}}}'}),
        ("registry.test", {"DOCKER_AUTH_CONFIG": f'{{"auths": {{"registry.test": {AWS_KEY}}}}}'}),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", [["run", "--log-level", "trace"], ["check"], ["show"]])
def test_mistakes(command: list[str], source: str | dict[str, Any], environ: dict[str, str], tmp_path: Path) -> None:
    """Logins in the wrong place are not repeated by what complains about them."""
    dregsy = Dregsy(tmp_path, {"HTTPS_PROXY": "http://127.0.0.1:1", **environ})
    tasks = [task("mistaken", source, "other.test", {"from": "a/b", "tags": ["v1"]})]
    done = dregsy.run(*command, "-config", dregsy.config({"relay": "native", "retries": 0, "tasks": tasks}))

    assert done.code in {0, 1}
    assert leaks([PASSWORD, AWS_KEY, AT_PROXY], [done.said]) == []
