"""As whom AWS is asked, and what its refusals mean; moto stands in for AWS."""

import asyncio
import ssl
from pathlib import Path

import pytest

from dregsy.cloud.aws import Place, ask, asking, client
from dregsy.errors import CredentialsError, RateLimited, RegistryError, Unauthorized, Unreachable
from dregsy.model.aws import AwsIdentity
from tests.testbed.aws import AwsApi, Moto
from tests.testbed.certificates import Authority
from tests.testbed.raw import RawServer
from tests.testbed.servers import DockerRegistry

PLACE = Place("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1")
ROLE = "arn:aws:iam::111122223333:role/mirror"


def test_profile_and_role(aws_api: AwsApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile's login takes on the role, and the role is who asks."""
    config = tmp_path / "config"
    config.write_text("[profile prod]\naws_access_key_id = AKIAPROD\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    api = client(PLACE, "ecr", AwsIdentity("prod", ROLE))
    made = api.create_repository(repositoryName="mirror")["repository"]

    assert made["registryId"] == "111122223333"
    assert [one.operation for one in aws_api.asked] == ["AssumeRole", "CreateRepository"]
    assert aws_api.asked[0].key == "AKIAPROD"
    assert aws_api.asked[1].key != "AKIAPROD"


def test_web_identity(aws_api: AwsApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod with a service account of AWS's (IRSA) the mounted token is what logs in."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "token").write_text("a.b.c")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    made = client(PLACE, "ecr", AwsIdentity()).create_repository(repositoryName="mirror")["repository"]

    assert made["registryId"] == "111122223333"
    assert [one.operation for one in aws_api.asked] == ["AssumeRoleWithWebIdentity", "CreateRepository"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDenied", Unauthorized), ("ThrottlingException", RateLimited), ("ServerException", RegistryError)],
)
def test_a_role_that_is_refused(
    aws_api: AwsApi, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[RegistryError]
) -> None:
    """A role that may not be taken on is an error of ours with AWS's code."""
    monkeypatch.setattr("dregsy.cloud.aws._ATTEMPTS", 1)
    aws_api.failures["AssumeRole"] = code
    with pytest.raises(RegistryError, match=code) as caught:
        client(PLACE, "ecr", AwsIdentity(role=ROLE))

    assert kind is type(caught.value)


def test_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not set, and what is set wrong, is told with what to do."""
    with pytest.raises(CredentialsError, match="ProfileNotFound"):
        client(PLACE, "ecr", AwsIdentity("nobody"))
    with pytest.raises(CredentialsError, match="NoCredentialsError"), asking(PLACE):
        client(PLACE, "ecr", AwsIdentity()).describe_repositories()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")
    with pytest.raises(RegistryError, match="Invalid endpoint") as caught:
        client(PLACE, "ecr", AwsIdentity())

    assert "AWS_ENDPOINT_URL" in caught.value.hint


def test_an_authority_of_ones_own(
    moto: Moto, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_CA_BUNDLE says whom to trust in AWS's place, a proxy that looks into everything for one."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*authority.issue("aws"))
    with AwsApi(moto, tls=tls) as api:
        for name, value in {**api.environ, "AWS_CA_BUNDLE": str(authority.ca_file)}.items():
            monkeypatch.setenv(name, value)
        assert client(PLACE, "ecr", AwsIdentity()).describe_repositories()["repositories"] == []
        other = Authority(tmp_path / "other")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(other.ca_file))
        monkeypatch.setattr("dregsy.cloud.aws._ATTEMPTS", 1)
        with pytest.raises(Unreachable, match="not trusted") as caught, asking(PLACE):
            client(PLACE, "ecr", AwsIdentity()).describe_repositories()

    assert "AWS_CA_BUNDLE" in caught.value.hint


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take what comes, and say nothing."""
    del writer
    await reader.read()


async def test_a_metadata_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the search for a login has no end, it is given up in time."""
    monkeypatch.setattr("dregsy.cloud.aws._DEADLINE", 0.2)
    async with RawServer(silence) as server:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{server.host}/")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{server.host}/login")
        with pytest.raises(Unreachable, match="did not answer within"):
            await ask(PLACE, lambda: client(PLACE, "ecr", AwsIdentity()))


def test_nonsense(registry_a: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something else answers in AWS's place, the error says so."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{registry_a.host}/v2/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(RegistryError, match="is not AWS") as caught, asking(PLACE):
        client(PLACE, "sts", AwsIdentity()).get_caller_identity()

    assert caught.value.retryable


@pytest.mark.parametrize(
    ("region", "fips", "dualstack", "url"),
    [
        ("eu-west-1", False, False, "https://api.ecr.eu-west-1.amazonaws.com"),
        ("cn-north-1", False, False, "https://api.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", False, False, "https://api.ecr.us-gov-west-1.amazonaws.com"),
        ("us-east-1", True, False, "https://ecr-fips.us-east-1.amazonaws.com"),
        ("us-gov-west-1", True, False, "https://ecr-fips.us-gov-west-1.amazonaws.com"),
        ("eu-west-1", False, True, "https://ecr.eu-west-1.api.aws"),
        ("us-iso-east-1", False, False, "https://api.ecr.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", False, False, "https://api.ecr.us-isob-east-1.sc2s.sgov.gov"),
    ],
)
def test_end_points(region: str, fips: bool, dualstack: bool, url: str) -> None:
    """Each of AWS's partitions is asked at its own address."""
    assert client(Place("host", region, fips, dualstack), "ecr", AwsIdentity()).meta.endpoint_url == url
