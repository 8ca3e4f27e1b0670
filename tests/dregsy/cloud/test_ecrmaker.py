"""Making repositories, with moto as AWS."""

import asyncio
import json

import pytest

from dregsy.cloud.ecr import EcrHost
from dregsy.cloud.ecrmaker import EcrMaker
from dregsy.errors import RegistryError, Unauthorized
from dregsy.model.aws import Aws, NewRepository
from tests.testbed.aws import ACCOUNT, AwsApi
from tests.testbed.ecr import HOST
from tests.testbed.raw import RawServer, saying

PRIVATE = EcrHost(HOST, "eu-west-1", ACCOUNT)


def names(api: AwsApi) -> list[str]:
    """The repositories that there are."""
    return [one["repositoryName"] for one in api.client().describe_repositories()["repositories"]]


async def test_made_once(aws_api: AwsApi) -> None:
    """What is missing is made; what is there is left alone; the client is kept for a while."""
    maker = EcrMaker(iter([0.0, 0.0, 899.0, 900.0, 900.0]).__next__)
    for _ in range(3):
        await maker.ensure(PRIVATE, "team/app", Aws())

    assert names(aws_api) == ["team/app"]
    assert aws_api.count("CreateRepository") == 1


async def test_one_search_for_a_login(aws_api: AwsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many repositories that are missed at once cost one search for a login of AWS."""
    login = {
        "AccessKeyId": "AKIAPOD",
        "SecretAccessKey": "x",
        "Token": "x",
        "Expiration": "2199-01-01T00:00:00Z",
    }
    body = json.dumps(login).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with RawServer(saying(answer)) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{server.host}/login")
        maker = EcrMaker()
        await asyncio.gather(*(maker.ensure(PRIVATE, f"team/app{number}", Aws()) for number in range(20)))
        assert server.connections == 1

    assert len(names(aws_api)) == 20
    assert {one.key for one in aws_api.asked} == {"AKIAPOD"}


async def test_a_race_is_won_by_both(aws_api: AwsApi) -> None:
    """That somebody else made the repository in between is as good."""
    await asyncio.gather(*(EcrMaker().ensure(PRIVATE, "team/app", Aws()) for _ in range(4)))
    aws_api.failures["DescribeRepositories"] = ["RepositoryNotFoundException"]
    await EcrMaker().ensure(PRIVATE, "team/app", Aws())

    assert names(aws_api) == ["team/app"]


async def test_rights(aws_api: AwsApi) -> None:
    """Without the right to look it is made all the same; without that to make it the error says what is missing."""
    aws_api.failures = {"DescribeRepositories": "AccessDeniedException"}
    await EcrMaker().ensure(PRIVATE, "team/app", Aws())
    aws_api.failures = {"CreateRepository": "AccessDeniedException"}
    await EcrMaker().ensure(PRIVATE, "team/app", Aws())
    with pytest.raises(Unauthorized, match="team/new does not exist") as caught:
        await EcrMaker().ensure(PRIVATE, "team/new", Aws())
    aws_api.failures |= {"DescribeRepositories": "AccessDeniedException"}
    with pytest.raises(Unauthorized, match="team/new may not be asked for"):
        await EcrMaker().ensure(PRIVATE, "team/new", Aws())

    assert "ecr:CreateRepository" in caught.value.hint
    assert names(aws_api) == ["team/app"]


@pytest.mark.parametrize("operation", ["DescribeRepositories", "CreateRepository"])
async def test_refusals(aws_api: AwsApi, operation: str) -> None:
    """What else AWS says is an error with its code."""
    aws_api.failures = {operation: "InvalidParameterException"}
    with pytest.raises(RegistryError, match="InvalidParameterException"):
        await EcrMaker().ensure(PRIVATE, "team/app", Aws())


async def test_a_policy_that_is_refused(aws_api: AwsApi, caplog: pytest.LogCaptureFixture) -> None:
    """A repository without its lifecycle policy takes images, and a warning tells."""
    aws_api.failures = {"PutLifecyclePolicy": "InvalidParameterException"}
    await EcrMaker().ensure(PRIVATE, "team/app", Aws(new=NewRepository(lifecycle_policy=f'{{"rules": []}}{" " * 100}')))

    assert names(aws_api) == ["team/app"]
    (warning,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert "has no lifecycle policy: AWS refuses" in warning.getMessage()


async def test_names_that_aws_does_not_take(aws_api: AwsApi) -> None:
    """A name that is too short for AWS is told as such, and AWS is not asked."""
    with pytest.raises(RegistryError, match="AWS cannot be asked this"):
        await EcrMaker().ensure(PRIVATE, "a", Aws(new=NewRepository(tags=(("", "x"),))))

    assert "CreateRepository" not in {one.operation for one in aws_api.asked}


async def test_public(aws_api: AwsApi) -> None:
    """At the public registry the alias in front is no part of a repository's name."""
    public = EcrHost("public.ecr.aws", "us-east-1")
    for _ in range(2):
        await EcrMaker().ensure(public, "alias/team/app", Aws(new=NewRepository(tags=(("a", "b"),))))

    assert aws_api.count("CreateRepository") == 1
    assert public.repository("alias/team/app") == "team/app"
