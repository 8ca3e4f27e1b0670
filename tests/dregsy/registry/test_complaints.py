import subprocess
from pathlib import Path
from typing import Any

import pytest

from dregsy.errors import (
    DigestMismatch,
    DregsyError,
    ImageError,
    NotFound,
    RateLimited,
    RegistryError,
    RelayError,
    Unauthorized,
    Unreachable,
)
from dregsy.model.endpoint import Login, Secret
from dregsy.registry.complaints import explain, redact
from tests.testbed.certificates import Authority
from tests.testbed.servers import DockerRegistry


@pytest.mark.parametrize(
    ("said", "kind", "retryable"),
    [
        ("reading manifest v1 in h/x: unauthorized: authentication required", Unauthorized, False),
        ("denied: requested access to the resource is denied", Unauthorized, False),
        ("pull access denied for x, repository does not exist or may require 'docker login'", Unauthorized, False),
        ("Get https://h/v2/: no basic auth credentials", Unauthorized, False),
        ("unable to retrieve auth token: invalid username/password: unauthorized", Unauthorized, False),
        ("toomanyrequests: You have reached your pull rate limit", RateLimited, True),
        ("received unexpected HTTP status: 429 Too Many Requests", RateLimited, True),
        ("x509: certificate signed by unknown authority", Unreachable, False),
        ("remote error: tls: bad certificate", Unreachable, False),
        ("http: server gave HTTP response to HTTPS client", Unreachable, False),
        ("dial tcp: lookup h: no such host", Unreachable, False),
        ("dial tcp 127.0.0.1:1: connect: connection refused", Unreachable, True),
        ("net/http: TLS handshake timeout", Unreachable, True),
        ("happened during read: unexpected EOF", Unreachable, True),
        ("write tcp 127.0.0.1:2->127.0.0.1:1: write: broken pipe", Unreachable, True),
        ("write tcp 127.0.0.1:2->127.0.0.1:1: use of closed network connection", Unreachable, True),
        ("failed to register layer: write |1: broken pipe", RelayError, True),
        ("reading manifest v1 in h/x: manifest unknown", NotFound, True),
        ("repository name not known to registry", NotFound, False),
        ("manifest for h/x@sha256:0 not found: manifest unknown: manifest unknown", NotFound, True),
        ("Manifest does not match provided manifest digest sha256:0", DigestMismatch, True),
        ("happened during read: Digest did not match, expected sha256:0, got sha256:1", DigestMismatch, True),
        ("filesystem layer verification failed for digest sha256:0", DigestMismatch, True),
        ("download failed after attempts=1: unknown blob", NotFound, False),
        ("uploading manifest v1 to h/x: manifest invalid: no; Unsupported conversion type", RegistryError, False),
        ("no matching manifest for linux/s390x in the manifest list entries", ImageError, False),
        ("Instructed to preserve digests, but the manifest must be changed", ImageError, False),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryError, True),
        ("Error fetching blob: invalid status code from registry 500 (Internal Server Error)", RegistryError, True),
        ("Error fetching blob: invalid status code from registry 403 (Forbidden)", Unauthorized, False),
        ("errors: digest invalid manifest blob unknown: blob unknown to registry", RelayError, True),
        ("initializing source docker://h/x:v1: StatusCode: 429, busy", RateLimited, True),
        ("error parsing HTTP 429 response body: unexpected end of JSON input", RateLimited, True),
        ("reading manifest v1 in h.io/team/certificate-denied: manifest unknown", NotFound, True),
        ("copying h:40404/timeout/not@sha256:404429: strange", RelayError, True),
        ("something new", RelayError, True),
    ],
)
def test_words_have_the_meaning_of_the_native_errors(said: str, kind: type[DregsyError], retryable: bool) -> None:
    """What skopeo and dockerd print becomes the error that the native relay raises for the same reason."""
    error = explain(said, relay="tool", output="all of it")

    assert kind is type(error)
    assert f"tool: {said}" == error.message
    assert retryable == getattr(error, "retryable", False)


def test_a_message_is_one_line() -> None:
    """Tools break their lines; a report has one for each image."""
    assert explain("errors:\ndenied\n", relay="tool").message == "tool: errors: denied"


def test_output_is_kept_where_the_words_tell_nothing() -> None:
    """An error that nobody understands carries what the tool printed before."""
    error = explain("something new", relay="tool", output="line 1\nline 2")

    assert isinstance(error, RelayError)
    assert (error.relay, error.output) == ("tool", "line 1\nline 2")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no address at all", "no address at all"),
        ('Get "https://u:p@h:1/v2/x?X-Amz-Signature=s#f": EOF', 'Get "https://h:1/v2/x": EOF'),
        ("http://a/?b http://c/?d", "http://a/ http://c/"),
        ("https://[::1/x?y broken", "(address) broken"),
        ("the password is open sesame, is it", "the password is ***, is it"),
        ("token: t0k3n", "token: ***"),
    ],
)
def test_secrets_do_not_pass(text: str, shown: str) -> None:
    """Logins, and what in an address may be one, are taken out of a text."""
    logins = [Login("u", Secret("open sesame")), Login(identity_token=Secret("t0k3n")), Login("v", Secret("is"))]

    assert shown == redact(text, logins)


@pytest.mark.parametrize(
    ("server", "own_ca", "hint"),
    [
        ({"start_days": -5, "days": -1}, True, "have the certificate renewed"),
        ({"start_days": 3}, True, "have the certificate renewed"),
        ({"names": ["other.test"]}, True, "a name that its certificate has"),
        ({"names": []}, True, "a name that its certificate has"),
        ({}, False, "put the registry's CA into"),
        (None, True, "put a client certificate that the registry accepts"),
    ],
)
def test_what_skopeo_says_of_certificates(
    tmp_path: Path, authority: Authority, server: dict[str, Any] | None, own_ca: bool, hint: str
) -> None:
    """What to do depends on what is wrong with which certificate; a CA is asked for only where that helps."""
    pair = authority.issue(f"said-{tmp_path.name}", **(server or {}))
    (tmp_path / "certs").mkdir()
    if own_ca:
        (tmp_path / "certs/ca.crt").write_bytes(authority.ca_file.read_bytes())
    clients = authority.ca_file if server is None else None
    with DockerRegistry(tmp_path / "registry", tls=pair, client_ca=clients) as registry:
        command = ["skopeo", "inspect", f"--cert-dir={tmp_path}/certs", f"docker://{registry.host}/x:v1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    error = explain(done.stderr, relay="skopeo")

    assert isinstance(error, Unreachable)
    assert hint in error.hint
    assert error.retryable is False
