"""AWS's registries, asked by its own SDK; the server stands in for AWS's endpoint."""

from collections.abc import AsyncIterator

import pytest

from dregsy.cloud import aws as asked
from dregsy.cloud import ecr
from dregsy.cloud.ecr import EcrHost
from dregsy.errors import CredentialsError, DregsyError, NotFound, RateLimited, RegistryError, Unauthorized, Unreachable
from dregsy.model.aws import AwsIdentity
from tests.testbed.aws import AwsApi
from tests.testbed.vendors.ecr import ACCOUNT, HOST, Aws
from tests.testbed.vendors.server import SINCE, dates_of, expected, names_of, numbered, tags_of

PRIVATE = EcrHost(HOST, "eu-west-1", ACCOUNT)
NOBODY = AwsIdentity()
PUBLIC = EcrHost("public.ecr.aws", "us-east-1")


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aws]:
    """AWS, as its SDK finds it by its usual variables."""
    async with Aws() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server.host}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-so-secret")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield server


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (HOST, PRIVATE),
        (
            f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            EcrHost(f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", ACCOUNT, fips=True),
        ),
        (
            f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
            EcrHost(f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", ACCOUNT),
        ),
        (
            f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws",
            EcrHost(f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws", "eu-west-1", ACCOUNT, dualstack=True),
        ),
        ("public.ecr.aws", PUBLIC),
        (f"{HOST}:443", None),
        (f"{HOST}.example.com", None),
        ("docker.io", None),
    ],
)
def test_hosts(host: str, found: EcrHost | None) -> None:
    """Account and region are told by the host."""
    assert found == EcrHost.parse(host)


async def test_repositories(aws: Aws) -> None:
    """All repositories are listed, page by page; public ones with the name of their registry in front."""
    names = [f"team/r{number:04}" for number in range(1001)]
    for name in names:
        aws.put(name)

    assert names == await names_of(ecr.repositories(PRIVATE, NOBODY))
    assert aws.log.count("POST", "") == 2
    assert [f"x1y2z3/{name}" for name in names] == await names_of(ecr.repositories(PUBLIC, NOBODY))


async def test_tags(aws: Aws) -> None:
    """All tagged images of a repository are listed, page by page."""
    aws.put("team/app", numbered(1200))
    aws.claims["team/app"] = {tag: f"sha256:{number:064}" for number, tag in enumerate(numbered(1100))}
    found = await tags_of(ecr.tags(PRIVATE, "team/app", NOBODY))

    assert expected(1200).keys() == found.keys()
    assert found["t0007"] == f"sha256:{7:064}"
    assert set((await dates_of(ecr.tags(PRIVATE, "team/app", NOBODY))).values()) == {SINCE}
    assert aws.log.count("POST", "") == 4


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", Unauthorized),
        ("UnrecognizedClientException", Unauthorized),
        ("RepositoryNotFoundException", NotFound),
        ("LimitExceededException", RateLimited),
        ("InvalidParameterException", RegistryError),
    ],
)
async def test_refusals(aws: Aws, code: str, kind: type[DregsyError]) -> None:
    """What AWS refuses is an error of ours that carries AWS's code, and never an empty list."""
    aws.failure = code
    with pytest.raises(RegistryError, match=code) as caught:
        await names_of(ecr.repositories(PRIVATE, NOBODY))

    assert kind is type(caught.value)


@pytest.mark.parametrize("host", [PRIVATE, PUBLIC])
async def test_token(aws_api: AwsApi, host: EcrHost) -> None:
    """A token is a login, due to be replaced when nine tenths of its life are over."""
    aws_api.ttl = 1000
    login, due, good = await ecr.token(host, NOBODY)

    assert login.username == "AWS"
    assert login.password is not None
    assert login.password.reveal().startswith("token-")
    assert good == pytest.approx(1000, abs=60)
    assert due == pytest.approx(0.9 * good)


@pytest.mark.parametrize("spoiled", ["%%%", "bm90aGluZw=="])
async def test_what_is_no_token(aws_api: AwsApi, spoiled: str) -> None:
    """What AWS would never say is an error, and not repeated."""
    aws_api.spoiled = spoiled
    with pytest.raises(CredentialsError, match="that is none") as caught:
        await ecr.token(PRIVATE, NOBODY)

    assert spoiled not in str(caught.value)


async def test_no_login(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any login of AWS the error says what to set, and AWS is not asked."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError, match="no login of AWS") as caught:
        await names_of(ecr.repositories(PRIVATE, NOBODY))

    assert "AWS_PROFILE" in caught.value.hint
    assert list(aws.log) == []

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsError, match="ProfileNotFound"):
        await names_of(ecr.repositories(PRIVATE, NOBODY))


@pytest.mark.usefixtures("aws")
async def test_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AWS does not answer, another attempt may fare better."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(asked, "_ATTEMPTS", 1)
    with pytest.raises(Unreachable) as caught:
        await names_of(ecr.repositories(PRIVATE, NOBODY))

    assert caught.value.retryable
