import pytest

from dregsy.errors import (
    DigestMismatch,
    DregsyError,
    ImageError,
    NotFound,
    RateLimited,
    RelayError,
    Unauthorized,
    Unreachable,
)
from dregsy.model.endpoint import Login, Secret
from dregsy.registry.complaints import explain, redact


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
        ("reading manifest v1 in h/x: manifest unknown", NotFound, False),
        ("repository name not known to registry", NotFound, False),
        ("manifest for h/x@sha256:0 not found: manifest unknown: manifest unknown", NotFound, False),
        ("Manifest does not match provided manifest digest sha256:0", DigestMismatch, True),
        ("no matching manifest for linux/s390x in the manifest list entries", ImageError, False),
        ("Instructed to preserve digests, but the manifest must be changed", ImageError, False),
        ("received unexpected HTTP status: 503 Service Unavailable", RelayError, True),
        ("errors: digest invalid manifest blob unknown: blob unknown to registry", RelayError, True),
        ("initializing source docker://h/x:v1: StatusCode: 429, busy", RateLimited, True),
        ("error parsing HTTP 429 response body: unexpected end of JSON input", RateLimited, True),
        ("reading manifest v1 in h.io/team/certificate-denied: manifest unknown", NotFound, False),
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
