import socket
from collections import Counter

from benchmarks.proxy import CountingProxy, Exchange
from dregsy.embedded import images
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo


def test_what_passes_is_counted_and_arrives(registry_a: DockerRegistry, skopeo: Skopeo, repo: str) -> None:
    """A push through the proxy is whole at the registry, and its requests and bytes are known by kind."""
    image = images.image(repo, layers=2, size=300_000)

    with CountingProxy(registry_a.host) as proxy:
        push(proxy.host, repo, image, "v1")
        tally = proxy.tally.take()

    assert skopeo.digests(f"{registry_a.host}/{repo}:v1") == {str(image.digest): image.top.media_type}
    assert tally.by_kind() == Counter({"POST uploads": 3, "PUT uploads": 3, "PUT manifests": 2})
    assert tally.bytes_up == sum(map(len, image.blobs.values())) + 2 * len(image.top.raw)
    assert {one.status for one in tally.exchanges} == {201, 202}


def test_fetches_and_mounts_are_told(registry_a: DockerRegistry, repo: str) -> None:
    """Which blob was fetched how often, and what was mounted, can be read from what was counted."""
    image = images.image(repo, layers=1)
    push(registry_a.host, repo, image, "v1")
    layer = image.top.blobs[-1].digest

    with CountingProxy(registry_a.host) as proxy:
        ask(proxy.host, "GET", f"/v2/{repo}/blobs/{layer}")
        ask(proxy.host, "GET", f"/v2/{repo}/blobs/{layer}")
        ask(proxy.host, "HEAD", f"/v2/{repo}/manifests/v1")
        ask(proxy.host, "POST", f"/v2/{repo}/copy/blobs/uploads/?mount={layer}&from={repo}")
        tally = proxy.tally

    assert tally.most_fetches() == 2
    assert tally.mounted == 1
    assert tally.bytes_down == 2 * len(image.blobs[layer])
    assert tally.connections == 4


def test_a_client_that_tries_tls_is_answered_by_the_registry(registry_a: DockerRegistry) -> None:
    """A TLS greeting is no request; it is passed on and counted apart."""
    with CountingProxy(registry_a.host) as proxy:
        answer = said(proxy.host, b"\x16\x03\x01\x00\x05\x00\x0a\x00\x00\r\n\r\n")
        tally = proxy.tally

    assert b" 400 Bad Request" in answer.partition(b"\r\n")[0]
    assert (tally.hellos, tally.exchanges) == (1, [])


def test_kinds_of_requests() -> None:
    """Each request of the distribution protocol has its kind, whatever the repository is called."""
    paths = {
        "/v2/": "ping",
        "/v2/a/blobs/tags/list?n=5": "tags",
        "/v2/tags/list/manifests/latest": "manifests",
        "/v2/a/b/blobs/sha256:abc": "blobs",
        "/v2/a/blobs/uploads/": "uploads",
        "/v2/a/blobs/uploads/9c2b?_state=x": "uploads",
        "/v2/_catalog": "other",
    }

    assert paths == {path: Exchange("GET", path).kind for path in paths}


def ask(host: str, method: str, path: str) -> bytes:
    """Send a request without a body on a connection of its own and read what comes until its end."""
    return said(host, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n".encode())


def said(host: str, text: bytes) -> bytes:
    """Send bytes and read what comes until the end."""
    address, _, port = host.partition(":")
    with socket.create_connection((address, int(port)), 10) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))
