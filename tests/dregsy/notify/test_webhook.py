import hashlib
import hmac
import ssl
from pathlib import Path

import pytest

from dregsy.model.endpoint import Secret
from dregsy.model.notify import Slack, Webhook
from dregsy.notify.delivery import Undelivered
from dregsy.notify.webhook import SIGNATURE, post, signature
from tests.testbed.certificates import Authority
from tests.testbed.inbox import Hooks
from tests.testbed.proxy import RecordingProxy

TOKEN = "T0/B0/s3cret-token"


async def test_a_signature() -> None:
    """A receiver that has the secret can prove whom a body is from, and from when it is."""
    with Hooks() as hooks:
        channel = Webhook(Secret(f"{hooks.url}/a?b=c"), Secret("shared"))
        await post(channel, b'{"a": 1}', environ={}, now=lambda: 1700000000.9)

    (received,) = hooks.received
    expected = hmac.new(b"shared", b'1700000000.{"a": 1}', hashlib.sha256).hexdigest()
    assert received.headers[SIGNATURE] == f"t=1700000000,v1={expected}"
    assert (received.path, received.body, received.headers["Content-Type"]) == (
        *("/a?b=c", b'{"a": 1}'),
        "application/json",
    )


async def test_no_signature() -> None:
    """Without a secret, and for Slack, there is none."""
    with Hooks() as hooks:
        await post(Webhook(Secret(hooks.url)), b"{}", environ={})
        await post(Slack(Secret(f"{hooks.url}/{TOKEN}")), b"{}", environ={})

    assert [SIGNATURE in one.headers for one in hooks.received] == [False, False]
    assert hooks.received[1].path == f"/{TOKEN}"


def test_signatures_differ() -> None:
    """Another secret, time or body makes another signature."""
    base = signature(Secret("a"), b"x", 1)
    assert (
        len({base, signature(Secret("b"), b"x", 1), signature(Secret("a"), b"y", 1), signature(Secret("a"), b"x", 2)})
        == 4
    )


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [
        (404, False, "check the URL"),
        (500, True, ""),
        (429, True, ""),
        (302, False, "give the address that it leads to"),
    ],
)
async def test_refusals(status: int, retryable: bool, hint: str) -> None:
    """It is told what a host answered, and nothing of the address but the host; redirects are not followed."""
    with Hooks(status) as hooks, pytest.raises(Undelivered) as caught:
        await post(Slack(Secret(f"{hooks.url}/{TOKEN}")), b"{}", environ={})

    error = caught.value
    assert (error.message, error.retryable) == (f"{hooks.host} answered {status}", retryable)
    assert error.hint.startswith(hint)
    assert TOKEN not in f"{error!r} {error} {error.__context__!r}"


async def test_nobody_there() -> None:
    """A host that is down may be up the next time; nothing sends the user to a registry."""
    with pytest.raises(Undelivered) as caught:
        await post(Slack(Secret(f"http://127.0.0.1:1/{TOKEN}")), b"{}", environ={})

    error = caught.value
    assert (error.retryable, "registry" in str(error), TOKEN in f"{error!r}{error}") == (True, False, False)


async def test_certificates(authority: Authority, tmp_path: Path) -> None:
    """A server that nobody vouches for gets nothing; with its authority in certs.d it does."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("hooks"))
    with Hooks(tls=context) as hooks:
        channel = Webhook(Secret(f"{hooks.url}/x"))
        with pytest.raises(Undelivered, match="certificate"):
            await post(channel, b"{}", environ={})
        folder = tmp_path / "certs.d" / hooks.host
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(authority.ca_file.read_bytes())

        await post(channel, b"{}", environ={}, certs=(tmp_path / "certs.d",))

    assert len(hooks.received) == 1


async def test_a_proxy() -> None:
    """The environment's proxy leads to hosts outside."""
    with Hooks() as inside, RecordingProxy(inside.host) as proxy:
        await post(Webhook(Secret("http://hooks.test/x")), b"{}", environ={"HTTP_PROXY": f"http://{proxy.host}"})

    assert [one.path for one in inside.received] == ["/x"]
