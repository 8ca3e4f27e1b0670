"""AWS's registries from end to end: the command, AWS's API, and a registry whose password is the token of the moment.

The command finds the registry under AWS's own name, by a forward proxy that leads all names to it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from tests.testbed.aws import Moto
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.dockerd import Dockerd
from tests.testbed.ecr import HOST, Ecr
from tests.testbed.faults import Fault, Gate
from tests.testbed.pushing import push
from tests.testbed.raw import ForwardProxy
from tests.testbed.servers import DockerRegistry


@pytest.fixture
def ecr(tmp_path: Path, moto: Moto) -> Iterator[Ecr]:
    """A private registry of AWS's."""
    with Ecr(tmp_path / "ecr", moto) as server:
        yield server


def config(ecr: Ecr, source: str, *mappings: Mapping[str, Any], **location: Any) -> dict[str, Any]:
    """Write what mirrors to AWS with tokens from there, unless ``location`` says otherwise."""
    document = mirror(source, HOST, *mappings)
    document["tasks"][0]["target"] |= location or {"auth-refresh": "10h"}
    return {"relay": "native", "native": {"certs-dir": str(ecr.certs)}, **document}


async def run(ecr: Ecr, folder: Path, document: Mapping[str, Any], **environ: str) -> Done:
    """Run the command where AWS is the test bed."""
    async with ForwardProxy(ecr.front.host) as proxy:
        variables = {**ecr.api.environ, "HTTPS_PROXY": f"http://{proxy.host}", "NO_PROXY": "127.0.0.1", **environ}
        dregsy = Dregsy(folder / "user", {name: value for name, value in variables.items() if value})
        return await asyncio.to_thread(dregsy.run, "-config", dregsy.config(document))


async def test_new_repositories(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """A target's repository is made as the file says, once for all its tags; a second run asks AWS for a login only."""
    push(registry_a.host, repo, images.image(repo), "v1")
    push(registry_a.host, repo, images.image(f"{repo} 2"), "v2", "v3")
    policy = '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 3}, "action": {"type": "expire"}}]}'  # noqa: E501 - as users have it
    settings = {
        "scan-on-push": True,
        "tag-mutability": "immutable",
        "encryption": "KMS",
        "lifecycle-policy": policy,
        "tags": {"team": "platform"},
    }
    document = config(ecr, registry_a.host, {"from": repo}, **{"auth-refresh": "10h", "repository": settings})
    first = await run(ecr, tmp_path, document)
    asked = [one.operation for one in ecr.api.asked]
    ecr.api.asked.clear()
    second = await run(ecr, tmp_path, document)

    assert (first.code, first.err) == (0, "")
    assert second.code == 0
    assert asked == ["GetAuthorizationToken", "DescribeRepositories", "CreateRepository", "PutLifecyclePolicy"]
    assert [one.operation for one in ecr.api.asked] == ["GetAuthorizationToken"]
    made = ecr.repository(repo) or {}
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["encryptionConfiguration"]["encryptionType"] == "KMS"
    found = ecr.api.client().get_lifecycle_policy(repositoryName=repo)["lifecyclePolicyText"]
    assert "rulePriority" in found
    tags = ecr.api.client().list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "platform"}]


@pytest.mark.parametrize("expired", [False, True])
async def test_rotation_in_the_middle(
    ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str, *, expired: bool
) -> None:
    """The password changes while a layer is under way: one more token is fetched, and everything arrives at once."""
    push(registry_a.host, repo, images.image(repo), "v1")
    push(registry_a.host, repo, images.image(f"{repo} 2"), "v2")
    gate = Gate()
    ecr.front.faults.append(Fault(path="/blobs/uploads/.*digest=", method="PUT", gate=gate))
    document = {**config(ecr, registry_a.host, {"from": repo}), "retries": 0}
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(ecr, tmp_path, document))
        await gate.arrival()
        if expired:
            ecr.front.expired.add(ecr.passwords.password)
        else:
            ecr.passwords.change("rotated")
        gate.open()

    assert (running.result().code, running.result().err) == (0, "")
    assert ecr.api.count("GetAuthorizationToken") == 2
    assert any(one.status in {401, 403} for one in ecr.front.seen if one.method == "PUT")


@pytest.mark.parametrize("relay", ["skopeo", "docker"])
async def test_other_relays(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str, relay: str) -> None:
    """Tools that talk to AWS's registries themselves get the token of the moment, and repositories to write to."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1", "v2")
    document = config(ecr, registry_a.host, {"from": repo}, **{"auth-refresh": "10h", "skip-tls-verify": True})
    async with ForwardProxy(ecr.front.host) as proxy:
        way = {"HTTPS_PROXY": f"http://{proxy.host}", "NO_PROXY": "127.0.0.1"}
        within = ("env", *(f"{name}={value}" for name, value in way.items()))
        with Dockerd(f"--insecure-registry={HOST}", within=within) as daemon:
            settings = {"dockerhost": daemon.host} if relay == "docker" else {}
            dregsy = Dregsy(tmp_path / "user", {**ecr.api.environ, **way})
            file = dregsy.config({**document, "relay": relay, relay: settings})
            done = await asyncio.to_thread(dregsy.run, "-config", file)

    assert (done.code, done.said.count(ecr.passwords.password)) == (0, 0)
    assert [one.operation for one in ecr.api.asked if one.operation != "DescribeRepositories"] == [
        "GetAuthorizationToken",
        "CreateRepository",
    ]
    assert {ecr.front.count("PUT", f"/manifests/{tag}") for tag in ("v1", "v2")} == {1}


async def test_an_immutable_tag(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """A tag that cannot be written is a clear failure where it has another image; nothing is tried again."""
    push(registry_a.host, repo, images.image(repo), "v1")
    ecr.make(repo, imageTagMutability="IMMUTABLE")
    document = config(ecr, registry_a.host, {"from": repo})
    assert (await run(ecr, tmp_path, document)).code == 0
    push(registry_a.host, repo, images.image(f"{repo} 2"), "v1")
    ecr.front.seen.clear()
    done = await run(ecr, tmp_path, document)

    assert done.code == 1
    assert "exists with another image, and its tag is immutable" in done.said
    assert ecr.front.count("PUT", "/manifests/v1") == 1


async def test_a_given_login_needs_no_aws(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """With ``auth`` AWS is not asked; where the repository is missing and AWS does not let us in, the error says so."""
    import base64

    push(registry_a.host, repo, images.image(repo), "v1")
    ecr.passwords.change("from elsewhere")
    ecr.make(repo)
    auth = base64.b64encode(b"AWS:from elsewhere").decode()
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    good = await run(ecr, tmp_path, config(ecr, registry_a.host, {"from": repo}, auth=auth), **nobody)
    there = list(ecr.api.asked)
    missing = config(ecr, registry_a.host, {"from": repo, "to": f"{repo}/new"}, auth=auth)
    bad = await run(ecr, tmp_path, missing, **nobody)
    made = await run(ecr, tmp_path, missing)

    assert (good.code, there) == (0, [])
    assert bad.code == 1
    assert f"{HOST}/{repo}/new does not exist, and could not be made: there is no login of AWS" in bad.said
    assert (made.code, made.err) == (0, "")


async def test_throttling(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Where AWS asks to slow down, it is asked again a little later."""
    push(registry_a.host, repo, images.image(repo), "v1")
    ecr.api.failures = {"GetAuthorizationToken": ["ThrottlingException"], "CreateRepository": ["ThrottlingException"]}
    done = await run(ecr, tmp_path, config(ecr, registry_a.host, {"from": repo}))

    assert (done.code, done.err) == (0, "")
    assert (ecr.api.count("GetAuthorizationToken"), ecr.api.count("CreateRepository")) == (2, 2)


async def test_the_skopeo_relay(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Another relay gets the same: a token of the moment for each copy, and a repository."""
    push(registry_a.host, repo, images.image(repo), "v1")
    document = config(ecr, registry_a.host, {"from": repo})
    del document["native"]
    document |= {"relay": "skopeo", "skopeo": {"certs-dir": str(ecr.certs)}}
    document["tasks"][0]["source"]["skip-tls-verify"] = True
    done = await run(ecr, tmp_path, document)

    assert (done.code, done.err) == (0, "")
    assert ecr.repository(repo) is not None
    assert ecr.passwords.password not in done.said


async def test_rotation_under_the_skopeo_relay(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Where the password changes while skopeo is at work, it is run once more with the new one."""
    push(registry_a.host, repo, images.image(repo), "v1")
    gate = Gate()
    ecr.front.faults.append(Fault(path="/blobs/uploads/.*digest=", method="PUT", gate=gate))
    document = {**config(ecr, registry_a.host, {"from": repo}), "retries": 0}
    del document["native"]
    document |= {"relay": "skopeo", "skopeo": {"certs-dir": str(ecr.certs)}}
    document["tasks"][0]["source"]["skip-tls-verify"] = True
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(ecr, tmp_path, document))
        await gate.arrival()
        ecr.passwords.change("rotated")
        gate.open()

    assert (running.result().code, running.result().err) == (0, "")
    assert ecr.api.count("GetAuthorizationToken") == 2


async def test_rotation_under_the_docker_relay(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Where the password changes while the daemon pushes, it is told to push once more, with the new one."""
    push(registry_a.host, repo, images.image(repo), "v1")
    gate = Gate()
    ecr.front.faults.append(Fault(path="/blobs/uploads/.*digest=", method="PUT", gate=gate))
    location = {"auth-refresh": "10h", "skip-tls-verify": True}
    document = {**config(ecr, registry_a.host, {"from": repo}, **location), "retries": 0}
    async with ForwardProxy(ecr.front.host) as proxy:
        way = {"HTTPS_PROXY": f"http://{proxy.host}", "NO_PROXY": "127.0.0.1"}
        within = ("env", *(f"{name}={value}" for name, value in way.items()))
        with Dockerd(f"--insecure-registry={HOST}", within=within) as daemon:
            dregsy = Dregsy(tmp_path / "user", {**ecr.api.environ, **way})
            file = dregsy.config({**document, "relay": "docker", "docker": {"dockerhost": daemon.host}})
            async with asyncio.TaskGroup() as group:
                running = group.create_task(asyncio.to_thread(dregsy.run, "-config", file))
                await gate.arrival()
                ecr.passwords.change("rotated")
                gate.open()

    assert running.result().code == 0
    assert ecr.api.count("GetAuthorizationToken") == 2


async def test_show_and_check(ecr: Ecr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """``show`` asks nobody; ``check --diff`` says what is wrong with AWS."""
    push(registry_a.host, repo, images.image(repo), "v1")
    document = config(ecr, registry_a.host, {"from": repo}, **{"aws-profile": "nobody"})
    user = Dregsy(tmp_path / "user")
    shown = await asyncio.to_thread(user.run, "show", "-config", user.config(document))
    async with ForwardProxy(ecr.front.host) as proxy:
        user.environ |= {"HTTPS_PROXY": f"http://{proxy.host}", "NO_PROXY": "127.0.0.1"}
        checked = await asyncio.to_thread(user.run, "check", "--diff", "-config", user.config(document))

    assert (shown.code, shown.err) == (0, "")
    assert "token from AWS as profile nobody" in shown.out
    assert checked.code == 1
    assert "there is no login of AWS for" in checked.said
    assert ecr.api.asked == []
