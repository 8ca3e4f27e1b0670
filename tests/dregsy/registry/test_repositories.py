"""What AWS's registries want done, told by a real registry in their dress."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dregsy.credentials import Logins
from dregsy.embedded import images
from dregsy.errors import DregsyError, ImageError, NotFound, RelayError, Unauthorized
from dregsy.model.aws import Aws, AwsIdentity, NewRepository
from dregsy.model.endpoint import Ambient, Anonymous, Credentials, EcrToken, Endpoint
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from dregsy.registry.pool import Registries
from dregsy.registry.repositories import Repositories
from dregsy.registry.retry import Backoff
from tests.testbed.aws import Moto
from tests.testbed.ecr import HOST, Ecr
from tests.testbed.faults import Fault
from tests.testbed.pushing import push
from tests.testbed.raw import ForwardProxy

TARGET = Ref(HOST, "team/app", "v1")
IMAGE = images.image("ecr target")
MISSING = NotFound("PUT answered 404: NAME_UNKNOWN The repository is not here", codes=["NAME_UNKNOWN"])
WRITTEN = RelayError("skopeo: tag invalid: it cannot be overwritten because the tag is immutable.", relay="skopeo")


@pytest.fixture
def ecr(tmp_path: Path, moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ecr]:
    """A private registry of AWS's, with AWS as its tools find it by the environment."""
    with Ecr(tmp_path, moto) as server:
        for name, value in server.api.environ.items():
            monkeypatch.setenv(name, value)
        yield server


@asynccontextmanager
async def clients(ecr: Ecr) -> AsyncIterator[Registries]:
    """Registry clients that find the registry under its own name."""
    async with ForwardProxy(ecr.front.host) as proxy:
        environ = {"HTTPS_PROXY": f"http://{proxy.host}"}
        async with Registries(Logins(environ, Path("/nonexistent")), environ, backoff=Backoff(base=0)) as found:
            yield found


def endpoint(ecr: Ecr, credentials: Credentials = EcrToken(36000), aws: Aws = Aws()) -> Endpoint:  # noqa: B008 - frozen
    """The registry as a task sees it."""
    return Endpoint(HOST, credentials=credentials, certs=(ecr.certs,), aws=aws)


async def test_once_per_repository_and_run(ecr: Ecr) -> None:
    """A repository is looked after once in a run, and anew in the next; what is refused for good as well."""
    place = endpoint(ecr)
    async with clients(ecr) as registries:
        repositories = Repositories(registries)
        for _ in range(3):
            await repositories.ready(place, TARGET)
        ecr.api.client().delete_repository(repositoryName="team/app")
        repositories.finish()
        ecr.api.failures["CreateRepository"] = "AccessDeniedException"
        for _ in range(3):
            await repositories.ready(place, TARGET)
        refused = await repositories.settled(place, TARGET, IMAGE.digest, MISSING)

    assert (ecr.api.count("DescribeRepositories"), ecr.api.count("CreateRepository")) == (2, 2)
    assert isinstance(refused, NotFound)
    assert f"{HOST}/team/app does not exist, and could not be made: " in refused.message
    assert "ecr:CreateRepository" in refused.hint


async def test_what_passes_is_tried_again(ecr: Ecr, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a passing fault of AWS the repository is looked after again."""
    monkeypatch.setattr("dregsy.cloud.aws._ATTEMPTS", 1)
    ecr.api.failures["DescribeRepositories"] = ["LimitExceededException"]
    async with clients(ecr) as registries:
        repositories = Repositories(registries)
        await repositories.ready(endpoint(ecr), TARGET)
        assert ecr.repository("team/app") is None

        assert await repositories.settled(endpoint(ecr), TARGET, IMAGE.digest, MISSING) is None

    assert ecr.repository("team/app") is not None


@pytest.mark.parametrize(
    ("credentials", "aws", "asks"),
    [
        (EcrToken(36000), Aws(), True),
        (Ambient(), Aws(AwsIdentity(role="arn:aws:iam::123456789012:role/a")), True),
        (EcrToken(36000), Aws(new=NewRepository(create=False)), False),
        (Ambient(), Aws(), False),
        (Anonymous(), Aws(), False),
    ],
)
async def test_who_is_asked_before(ecr: Ecr, credentials: Credentials, aws: Aws, *, asks: bool) -> None:
    """AWS is asked before a copy only where the task itself says that it may be."""
    async with clients(ecr) as registries:
        await Repositories(registries).ready(endpoint(ecr, credentials, aws), TARGET)

    assert (ecr.api.count("DescribeRepositories") == 1) == asks


async def test_who_is_asked_after(ecr: Ecr) -> None:
    """With another login AWS is asked only once a push found no repository; never where the task forbids it."""
    async with clients(ecr) as registries:
        repositories = Repositories(registries)
        for place in (endpoint(ecr, Anonymous()), endpoint(ecr, aws=Aws(new=NewRepository(create=False)))):
            result = await repositories.settled(place, TARGET, IMAGE.digest, MISSING)
            assert isinstance(result, NotFound)
            assert "make the repository team/app at AWS" in result.hint
        asked = list(ecr.api.asked)

        assert await repositories.settled(endpoint(ecr, Ambient()), TARGET, IMAGE.digest, MISSING) is None

    assert asked == []
    assert ecr.repository("team/app") is not None


async def test_an_immutable_tag(ecr: Ecr) -> None:
    """A tag that cannot be written is fine with the very image, and else a clear failure, whichever relay met it."""
    place = endpoint(ecr)
    ecr.passwords.change("before")
    push(ecr.registry.host, "team/app", IMAGE, "v1", headers=ecr.login())
    ecr.make("team/app", imageTagMutability="IMMUTABLE")
    async with clients(ecr) as registries:
        repositories = Repositories(registries)
        with pytest.raises(DregsyError, match="TAG_INVALID") as native:
            await registries.at(place).put_manifest("team/app", "v1", IMAGE.top)
        for error in (native.value, WRITTEN):
            assert await repositories.settled(place, TARGET, IMAGE.digest, error) == Moved(IMAGE.digest)
            other = await repositories.settled(place, TARGET, images.image("other").digest, error)
            assert isinstance(other, ImageError)
            assert f"{TARGET} exists with another image, and its tag is immutable" in other.message
        ecr.front.faults.append(Fault(path="/manifests/", status=403, times=-1))
        assert await repositories.settled(place, TARGET, IMAGE.digest, WRITTEN) is WRITTEN
    assert await repositories.settled(place, Ref(HOST, "team/app"), None, WRITTEN) is WRITTEN


async def test_other_registries_and_errors(ecr: Ecr) -> None:
    """Elsewhere, and for other reasons, an error stays what it is."""
    other = Endpoint("registry.example.com")
    denied = Unauthorized("denied")
    async with clients(ecr) as registries:
        repositories = Repositories(registries)
        await repositories.ready(other, TARGET)
        assert await repositories.settled(other, TARGET, IMAGE.digest, MISSING) is MISSING
        assert await repositories.settled(endpoint(ecr), TARGET, IMAGE.digest, denied) is denied
        await repositories.ready(endpoint(ecr), TARGET)
        assert await repositories.settled(endpoint(ecr), TARGET, IMAGE.digest, MISSING) is MISSING


async def test_tokens_that_are_refused(ecr: Ecr) -> None:
    """A token that worked is replaced as often as it is refused; one that never worked is not fetched on and on."""
    ecr.make("team/app")
    place = endpoint(ecr)
    async with clients(ecr) as registries:
        registry = registries.at(place)
        for number in range(3):
            assert await registry.head_manifest("team/app", "v1") is None
            if number == 1:
                ecr.front.expired.add(ecr.passwords.password)
                with pytest.raises(NotFound):
                    await registry.get_manifest("team/app", "v1")
            else:
                ecr.passwords.change(f"another {number}")
        rotated = ecr.api.count("GetAuthorizationToken")
        ecr.front.faults.append(
            Fault(path="/v2/", status=401, times=-1, headers={"WWW-Authenticate": 'Basic realm="ecr"'})
        )
        for _ in range(4):
            with pytest.raises(Unauthorized):
                await registry.head_manifest("team/app", "v1")

    assert rotated == 3
    assert ecr.api.count("GetAuthorizationToken") == rotated + 1
