"""Google's default credentials, found by an environment of the test's own; a local server stands in for Google."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dregsy.cloud import gcp
from dregsy.errors import CredentialsError
from tests.testbed.certificates import Authority
from tests.testbed.google import REFRESH_TOKEN, Google, with_other_key
from tests.testbed.raw import ForwardProxy

HOST = "europe-west3-docker.pkg.dev"
NO_MACHINE = {"NO_GCE_CHECK": "true"}


@pytest.fixture
def google() -> Iterator[Google]:
    """Google's servers."""
    with Google() as server:
        yield server


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose firmware says nothing, also when the tests run on one of Google's."""
    monkeypatch.setattr(gcp, "_PRODUCT", tmp_path / "product_name")


async def fetch(home: Path, environ: dict[str, str]) -> tuple[str, str, float]:
    """Fetch a token: user name, secret and seconds; all empty for none."""
    login, seconds = await gcp.token(HOST, environ, home)
    return (login.username, login.password.reveal(), seconds) if login and login.password else ("", "", seconds)


async def refuse(home: Path, environ: dict[str, str]) -> str:
    """Fetch a token where that is an error: its text, which names the registry and keeps secrets."""
    with pytest.raises(CredentialsError) as caught:
        await gcp.token(HOST, environ, home)
    assert caught.value.host == HOST
    assert caught.value.hint
    text = f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
    assert HOST in text
    assert not any(secret in text for secret in ("BEGIN", "ya29.", REFRESH_TOKEN))
    return str(caught.value)


@pytest.mark.parametrize(
    ("host", "is_google"),
    [
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("EU.gcr.io:443", True),
        ("europe-west3-docker.pkg.dev", True),
        ("registry.k8s.io", False),
        ("gcr.io:5000", False),
        ("evilgcr.io", False),
        ("gcr.io.example.com", False),
        ("pkg.dev", False),
        ("a.b-docker.pkg.dev", False),
    ],
)
def test_hosts(host: str, is_google: bool) -> None:
    """Tokens are for gcr.io and Artifact Registry alone; registry.k8s.io is everybody's."""
    assert is_google == gcp.is_google(host)


@pytest.mark.parametrize("kind", ["service_account", "workload"])
async def test_file(google: Google, tmp_path: Path, kind: str) -> None:
    """GOOGLE_APPLICATION_CREDENTIALS may name the file of a service account or of a workload identity."""
    path = getattr(google, kind)(tmp_path)

    found = await fetch(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(path)})

    assert [found[1]] == google.tokens
    assert found[0] == "oauth2accesstoken"
    assert len(google.asked) == 1


async def test_gcloud(google: Google, tmp_path: Path) -> None:
    """Without the variable, what gcloud keeps in the home folder, or in its own, counts."""
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    google.service_account(folder).rename(folder / "application_default_credentials.json")

    at_home = await fetch(tmp_path, NO_MACHINE)
    elsewhere = await fetch(Path("/nonexistent"), {**NO_MACHINE, "CLOUDSDK_CONFIG": str(folder)})

    assert google.tokens == [at_home[1], elsewhere[1]]


async def test_person(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login of a person is good too, and a proxy is used as everywhere."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*authority.issue("google", names=("oauth2.googleapis.com",)))
    with Google(tls=tls) as google:
        async with ForwardProxy(google.host) as way:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{way.host}")
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
            found = await fetch(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(google.user(tmp_path))})

    assert google.tokens == [found[1]]
    assert way.asked() == ["CONNECT oauth2.googleapis.com:443"]


async def test_metadata_server(google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GCE_METADATA_HOST is believed: no request is made to find out whether it is one, and none goes by a proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    found = await fetch(tmp_path, {"GCE_METADATA_HOST": google.host})

    assert google.tokens == [found[1]]
    assert google.asked == ["metadata"]


@pytest.mark.usefixtures("nowhere")
async def test_metadata_server_is_searched(google: Google, tmp_path: Path) -> None:
    """A machine's own metadata server is told by its answer; what is another cloud's is left alone."""
    environ = {"GCE_METADATA_IP": google.host, "GCE_METADATA_TIMEOUT": "5"}
    google.flavour = "Other"

    assert await fetch(tmp_path, environ) == ("", "", gcp.NOTHING_SECONDS)
    assert google.asked == ["probe"]

    google.flavour = "Google"
    found = await fetch(tmp_path, {**environ, "GCE_METADATA_HOST": google.host})
    assert found[1] == google.tokens[-1]


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("timeout", ["soon", "", "0.1"])
async def test_nothing(tmp_path: Path, timeout: str) -> None:
    """Without any credentials there is no login, and that is known for a while."""
    environ = {"GCE_METADATA_IP": "127.0.0.1:1", "GCE_METADATA_TIMEOUT": timeout}

    assert await fetch(tmp_path, environ) == ("", "", gcp.NOTHING_SECONDS)
    assert await fetch(tmp_path, NO_MACHINE) == ("", "", gcp.NOTHING_SECONDS)


async def test_firmware(tmp_path: Path) -> None:
    """A machine of Google's cloud says so itself."""
    product = tmp_path / "product_name"
    assert not gcp._is_of_google(product)
    product.write_text("Google Compute Engine\n")
    assert gcp._is_of_google(product)
    product.write_text("Standard PC\n")
    assert not gcp._is_of_google(product)


@pytest.mark.parametrize(("ttl", "use"), [(3600, 3375), (300, 150), (0, 0)])
async def test_validity(google: Google, tmp_path: Path, ttl: int, use: int) -> None:
    """A token is used until shortly before its end, as its server tells it; a short one for half of its life."""
    google.ttl = ttl
    _, _, seconds = await fetch(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(google.service_account(tmp_path))})

    assert use - 60 < seconds <= use


async def test_explicit_file_comes_first(google: Google, tmp_path: Path) -> None:
    """The variable counts more than gcloud's file and the metadata server."""
    (tmp_path / ".config" / "gcloud").mkdir(parents=True)
    (tmp_path / ".config" / "gcloud" / "application_default_credentials.json").write_text("{}")
    environ = {"GCE_METADATA_HOST": google.host}

    found = await fetch(tmp_path, {**environ, "GOOGLE_APPLICATION_CREDENTIALS": str(google.workload(tmp_path))})

    assert google.tokens == [found[1]]
    assert "metadata" not in google.asked


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        ("private_key BEGIN", "is no credentials file of Google's"),
        ("[]", "is no credentials file of Google's"),
        ('{"type": "BEGIN"}', "is no credentials file of Google's"),
        ('{"type": "service_account", "private_key": "BEGIN"}', "is no credentials file of Google's"),
        ('{"type": "external_account", "audience": "BEGIN"}', "is no credentials file of Google's"),
    ],
)
async def test_broken_file(tmp_path: Path, text: str | None, problem: str) -> None:
    """A file that is named has to be good: the error names it, and shows nothing of it."""
    path = tmp_path / "key.json"
    if text is not None:
        path.write_text(text)

    said = await refuse(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(path)})

    assert f"{path} {problem}" in said


async def test_refused(google: Google, tmp_path: Path) -> None:
    """Google's own words tell why there is no token, but for what could be a secret."""
    path = google.service_account(tmp_path)
    with_other_key(path)
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    assert "invalid_grant: Invalid JWT Signature." in await refuse(tmp_path, environ)

    google.service_account(tmp_path)
    google.errors.append((403, {"error": "disabled", "error_description": f"ya29.{'x' * 80} is off"}))
    assert "gives none: disabled: is off" in await refuse(tmp_path, environ)

    google.errors.append((200, {"expires_in": 3600}))
    assert "No access token in response" in await refuse(tmp_path, environ)


async def test_machine_without_account(google: Google, tmp_path: Path) -> None:
    """A metadata server that has no account for this machine is an error that tells how to do without it."""
    google.errors.append((404, "no service account"))

    said = await refuse(tmp_path, {"GCE_METADATA_HOST": google.host})

    assert "the metadata server gives none" in said
    assert "no service account" in said
    assert "NO_GCE_CHECK=true" in said


@pytest.mark.parametrize("answer", [(200, "ya29.text"), (200, {"access_token": "ya29.x", "expires_in": "soon"})])
async def test_odd_answer(google: Google, tmp_path: Path, answer: tuple[int, dict[str, object] | str]) -> None:
    """An answer of another form is no token, and is not shown."""
    google.errors.append(answer)

    said = await refuse(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(google.service_account(tmp_path))})

    assert "an answer that holds no token" in said


async def test_token_server_is_down(google: Google, tmp_path: Path) -> None:
    """A server that does not answer is told from one that refuses."""
    path = google.service_account(tmp_path)
    path.write_text(path.read_text().replace(google.host, "127.0.0.1:1"))

    said = await refuse(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(path)})

    assert "needs a server that cannot be asked (ConnectionError)" in said


async def test_no_time_left(google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is an end to waiting."""
    monkeypatch.setattr(gcp, "_DEADLINE", 0.0)

    said = await refuse(tmp_path, {"GCE_METADATA_HOST": google.host})

    assert "gave none within 0 s" in said


def test_without_the_package(tmp_path: Path) -> None:
    """Where google-auth is not installed, credentials that are there lead to the line to type."""
    (tmp_path / "google").mkdir()
    (tmp_path / "google" / "__init__.py").write_text("")  # a package of that name that has nothing in it
    script = (
        "import asyncio, sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from dregsy.cloud import gcp\n"
        "asyncio.run(gcp.token('gcr.io', {'GCE_METADATA_HOST': '127.0.0.1:1'}, pathlib.Path('/nonexistent')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert "needs the package google-auth — pip install 'google-auth[requests]'" in done.stderr
