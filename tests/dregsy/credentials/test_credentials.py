"""Which source of logins counts, with real docker config files and real helper programs."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dregsy.cloud import gcp
from dregsy.credentials import CLOUD_PAUSE, REFUSAL, SHARED_SECONDS
from dregsy.errors import CredentialsError, RegistryError, Unauthorized
from dregsy.model.aws import Aws, AwsIdentity
from dregsy.model.endpoint import Ambient, Anonymous, EcrToken, Endpoint, Given, Login, Secret
from dregsy.model.report import LoginFetched
from tests.testbed.aws import AwsApi, Moto
from tests.testbed.google import Google
from tests.testbed.home import ALICE, HOST, NOBODY, Home, entry

NOBODY_ELSE = AwsIdentity()


async def test_the_configs_own_login_wins(home: Home) -> None:
    """A given login is used whatever docker's config says."""
    home.write({"auths": {HOST: entry("bob", "x")}})

    assert await home.logins().login_for(Endpoint(HOST, credentials=Given(ALICE)), "a") == ALICE


async def test_anonymous_is_anonymous(home: Home) -> None:
    """``auth: none`` presents nothing, whatever docker's config says."""
    home.write({"auths": {HOST: entry()}, "credsStore": "missing"})

    assert await home.logins().login_for(Endpoint(HOST, credentials=Anonymous()), "a") == NOBODY


@pytest.fixture
def aws(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsApi]:
    """AWS, as its tools find it by the environment."""
    with AwsApi(moto) as api:
        for name, value in api.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield api


def registry(region: str = "eu-west-1", *, refresh: float = 36000, identity: AwsIdentity = NOBODY_ELSE) -> Endpoint:
    """A private registry of AWS's."""
    host = f"123456789012.dkr.ecr.{region}.amazonaws.com"
    return Endpoint(host, credentials=EcrToken(refresh), aws=Aws(identity))


async def test_tokens_of_aws_are_shared(
    home: Home, aws: AwsApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that log in to one account in one region as the same share one token, also when they ask at once."""
    (tmp_path / "config").write_text("[profile other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    logins = home.logins()
    asked = [registry(), registry(refresh=7200), registry("us-east-1"), registry(identity=AwsIdentity("other"))]
    found = await asyncio.gather(*(logins.login_for(one, "a") for one in asked * 3))

    assert [one.username for one in found] == ["AWS"] * 12
    assert found[0] == found[1]
    assert len(set(found)) == 3
    assert sorted(one.key for one in aws.asked) == ["AKIAEXAMPLE", "AKIAEXAMPLE", "AKIAOTHER"]


async def test_tokens_of_aws_are_renewed(home: Home, aws: AwsApi) -> None:
    """A new token comes after ``auth-refresh``, or before the old one ends, whichever is sooner."""
    logins, first = home.logins(), registry(refresh=7200)
    issued = [await logins.login_for(first, "a")]
    for home.now in (7199, 7200, 14399):
        issued.append(await logins.login_for(first, "a"))
    aws.ttl = 3600
    for home.now in (14400, 14400 + 3000, 14400 + 3599):
        issued.append(await logins.login_for(first, "a"))

    assert [issued.index(one) for one in issued] == [0, 0, 2, 2, 4, 4, 6]


async def test_how_long_a_token_is_good_is_told(home: Home, aws: AwsApi) -> None:
    """Once for each that is fetched, with the registry it was fetched for and the time of its end; never itself."""
    aws.ttl = 3600
    before = time.time()
    token = await home.logins().login_for(registry(), "a")
    told = [event for event in home.events if isinstance(event, LoginFetched)]

    assert [registry().host] == [event.host for event in told]
    assert before + 3599 <= told[0].expires <= time.time() + 3601  # AWS tells whole seconds
    assert token.password is not None
    assert token.password.reveal() not in repr(home.events)


async def test_a_token_serves_on_while_aws_is_out_of_order(
    home: Home, aws: AwsApi, caplog: pytest.LogCaptureFixture
) -> None:
    """When no new token can be had, the old one serves to its real end, with one warning; then it is an error."""
    logins, place = home.logins(), registry(refresh=3600)
    before = await logins.login_for(place, "a")
    aws.failures["GetAuthorizationToken"] = "ServerException"
    for home.now in (3600, 3630, 3700, 43199):
        assert await logins.login_for(place, "a") == before
    for home.now in (43201, 43201 + CLOUD_PAUSE - 1):
        with pytest.raises(RegistryError, match="ServerException"):
            await logins.login_for(place, "a")
    asked = aws.count("GetAuthorizationToken")
    aws.failures.clear()
    home.now += 1
    after = await logins.login_for(place, "a")

    assert asked == 5
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert after != before


async def test_a_refused_token_is_not_kept(home: Home, aws: AwsApi) -> None:
    """A token that a registry refused is fetched anew, and does not serve on; other logins cannot be had anew."""
    logins = home.logins()
    before = await logins.login_for(registry(), "a")

    assert logins.drop(before)
    assert not logins.drop(ALICE)
    aws.failures["GetAuthorizationToken"] = "AccessDeniedException"
    with pytest.raises(Unauthorized):
        await logins.login_for(registry(), "a")


async def test_another_login_after_a_refusal(aws: AwsApi, home: Home) -> None:
    """A login that was refused is replaced, once for all who had it, and not again for a while."""
    logins = home.logins()
    first = await logins.login_for(registry(), "a")
    found = await asyncio.gather(*(logins.renewed(registry(), "a", first) for _ in range(100)))
    (second,) = set(found)
    assert second not in {None, first}
    assert await logins.renewed(registry(), "a", second or first) is None
    home.now += REFUSAL
    assert await logins.renewed(registry(), "a", second or first) is not None
    assert aws.count("GetAuthorizationToken") == 3
    assert await logins.renewed(Endpoint(HOST, credentials=Given(ALICE)), "a", ALICE) is None


async def test_tokens_are_for_registries_of_aws(home: Home) -> None:
    """Where a token from AWS is wanted elsewhere, the error says what to give instead."""
    with pytest.raises(CredentialsError, match="give 'auth' instead"):
        await home.logins().login_for(Endpoint(HOST, credentials=EcrToken(3600)), "a")


@pytest.mark.parametrize("config", [None, "{}", {"auths": None}, {"auths": {HOST: {}}}, {"auths": {HOST: None}}])
async def test_nothing_known_is_anonymous(home: Home, config: object) -> None:
    """Without a login for the host there is none, and no error."""
    if config is not None:
        home.write(config)

    assert await home.find() == NOBODY


async def test_what_cannot_be_read_is_named(home: Home) -> None:
    """A folder in place of the file and bytes that are no text are errors that name the file."""
    home.config.mkdir(parents=True)
    folder = await home.refuse()
    home.config.rmdir()
    home.config.write_bytes(b'{"auths": "\xff s3cret"}')
    binary = await home.refuse()

    assert f"{home.config} is not a file" in folder
    assert f"{home.config} is not UTF-8 text" in binary


async def test_a_file_in_place_of_the_folder_is_no_config(home: Home) -> None:
    """Like docker, nothing is found below something that is no folder."""
    (home.folder / ".docker").write_text("x")

    assert await home.find() == NOBODY


async def test_another_folder_can_be_named(home: Home) -> None:
    """``DOCKER_CONFIG`` names the folder to use in place of ``~/.docker``."""
    home.write({"auths": {HOST: entry("bob", "x")}})
    other = home.folder / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"auths": {HOST: entry()}}))
    logins = home.logins({"DOCKER_CONFIG": str(other)})

    assert await logins.login_for(Endpoint(HOST, credentials=Ambient()), "a") == ALICE


async def test_the_environment_comes_before_the_file(home: Home) -> None:
    """``DOCKER_AUTH_CONFIG`` counts for the hosts it has, the file for the others."""
    home.write({"auths": {HOST: entry("bob", "x"), "other.example.com": entry("carol", "y")}})
    logins = home.logins({"DOCKER_AUTH_CONFIG": json.dumps({"auths": {HOST: entry()}})})

    assert await logins.login_for(Endpoint(HOST), "a") == ALICE
    assert (await logins.login_for(Endpoint("other.example.com"), "a")).username == "carol"


async def test_a_broken_environment_is_named(home: Home) -> None:
    """The error names the variable and the line in it, and not what it holds."""
    logins = home.logins({"DOCKER_AUTH_CONFIG": '{\n"s3cret'})
    with pytest.raises(CredentialsError, match="DOCKER_AUTH_CONFIG:2: is not JSON") as caught:
        await logins.login_for(Endpoint(HOST), "a")

    assert "s3cret" not in str(caught.value)


async def test_a_file_that_changed_is_read_again(home: Home) -> None:
    """A login that is renewed during a run is used from then on."""
    logins = home.logins()
    before = await logins.login_for(Endpoint(HOST), "a")
    home.write({"auths": {HOST: entry()}})
    with_login = await logins.login_for(Endpoint(HOST), "a")
    home.config.unlink()
    after = await logins.login_for(Endpoint(HOST), "a")

    assert [before, with_login, after] == [NOBODY, ALICE, NOBODY]


async def test_the_hosts_own_helper_comes_before_the_store(home: Home) -> None:
    """``credHelpers`` replaces ``credsStore`` for its hosts; an empty name turns the store off."""
    home.answering("own", "alice", "s3cret")
    home.answering("store", "bob", "x")
    home.write({"credHelpers": {HOST: "own", "off.example.com": ""}, "credsStore": "store"})
    found = [(await home.find(host)).username for host in (HOST, "else.example.com", "off.example.com")]

    assert found == ["alice", "bob", ""]


async def test_what_a_helper_does_not_know_comes_from_the_next_source(home: Home) -> None:
    """That a helper knows no login is no error: the file's own entry counts."""
    home.helper("test", "echo credentials not found in native keychain; exit 1")
    home.write({"credsStore": "test", "auths": {HOST: entry()}})

    assert await home.find() == ALICE
    assert await home.find("other.example.com") == NOBODY


async def test_an_entry_for_a_path_spares_the_helper(home: Home) -> None:
    """The most particular source counts: a path's entry before the host's helper, that before the host's entry."""
    home.answering("test", "bob", "x")
    home.write({"credsStore": "test", "auths": {f"{HOST}/team": entry(), HOST: entry("carol", "y")}})
    found = [(await home.find(HOST, name)).username for name in ("team/app", "else")]

    assert found == ["alice", "bob"]
    assert len(home.asked()) == 1


SAY_ALICE = """echo '{"Username": "alice", "Secret": "s3cret"}'"""


async def test_a_helpers_answer_is_shared_for_a_short_while(home: Home) -> None:
    """A helper is asked again when its answer is old, so that a renewed login is found."""
    home.answering("test", "alice", "s3cret")
    home.write({"credsStore": "test"})
    logins = home.logins()
    for home.now in (0, SHARED_SECONDS - 1, SHARED_SECONDS, SHARED_SECONDS + 1):
        await logins.login_for(Endpoint(HOST), "a")

    assert len(home.asked()) == 2


async def test_googles_registries_get_a_token_of_google(home: Home) -> None:
    """All of them share one, which is fetched once, however many ask, and again when it is old or was refused."""
    hosts = ("gcr.io", "eu.gcr.io", "europe-west3-docker.pkg.dev")
    with Google() as google:
        logins = home.logins({"GOOGLE_APPLICATION_CREDENTIALS": str(google.service_account(home.folder))})
        found = await asyncio.gather(*(logins.login_for(Endpoint(host), "p/app") for host in hosts))
        assert found == [Login("oauth2accesstoken", Secret(google.tokens[0]))] * 3

        home.now += google.ttl
        renewed = await logins.login_for(Endpoint("gcr.io"), "p/app")
        logins._kept.drop(renewed)
        again = await logins.login_for(Endpoint("gcr.io"), "p/app")

    assert google.tokens == [one.password.reveal() for one in (found[0], renewed, again) if one.password]
    assert len(google.tokens) == 3


async def test_google_is_asked_last(home: Home) -> None:
    """What the file or docker's config gives counts more than Google's credentials, and others never see a token."""
    home.write({"auths": {"gcr.io": entry()}})
    with Google() as google:
        logins = home.logins({"GCE_METADATA_HOST": google.host})

        assert await logins.login_for(Endpoint("gcr.io"), "a") == ALICE
        assert await logins.login_for(Endpoint("eu.gcr.io", credentials=Given(ALICE)), "a") == ALICE
        assert await logins.login_for(Endpoint("eu.gcr.io", credentials=Anonymous()), "a") == NOBODY
        assert await logins.login_for(Endpoint("registry.k8s.io"), "a") == NOBODY

    assert google.asked == []


async def test_without_credentials_google_is_asked_as_nobody(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public images need no login; the search is not repeated for each of them, and there is advice for the others."""
    with Google() as other_cloud:
        other_cloud.flavour = "Other"
        monkeypatch.setattr(gcp, "_PRODUCT", home.folder / "none")  # the tests may run on a machine of Google's
        logins = home.logins({"GCE_METADATA_IP": other_cloud.host, "GCE_METADATA_TIMEOUT": "10"})
        for _ in range(3):
            assert await logins.login_for(Endpoint("gcr.io"), "a") == NOBODY

    assert other_cloud.asked == ["probe"]
    assert "GOOGLE_APPLICATION_CREDENTIALS" in logins.advice(Endpoint("gcr.io"))
    assert logins.advice(Endpoint("gcr.io", credentials=Anonymous())) == ""
    assert logins.advice(Endpoint(HOST)) == ""
