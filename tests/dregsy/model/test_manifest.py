"""Manifests of every kind are read, hostile ones are refused in one sentence, and their bytes stay as they came."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.embedded.images import image as image_of
from dregsy.errors import DigestMismatch, DregsyError, ImageError
from dregsy.model.digest import Digest
from dregsy.model.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    DOCKER_SCHEMA1_SIGNED,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    UNKNOWN_SIZE,
    Descriptor,
    Manifest,
)
from dregsy.model.platform import Platform
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def digest(number: int) -> Digest:
    """Some digest."""
    return Digest.of(str(number).encode())


def entry(number: int, media_type: str = GZIP, **more: Any) -> dict[str, Any]:
    """A descriptor as it stands in a document."""
    return {"mediaType": media_type, "digest": str(digest(number)), "size": number, **more}


def image(**more: Any) -> dict[str, Any]:
    """A document of an image."""
    config = entry(1, CONFIG)
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [entry(2)], **more}


def index(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document of an index."""
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **more}


def encoded(document: Any) -> bytes:
    """The bytes of a document, with blanks that nobody may touch."""
    return json.dumps(document, indent=3).encode()


def test_the_bytes_are_kept() -> None:
    """What is read is neither encoded again nor stripped of what is not known."""
    raw = encoded(image(unknown={"field": [1.0, None]}, annotations={"a": "b"})) + b"\n\n"
    manifest = Manifest.parse(raw)

    assert raw == manifest.raw
    assert Digest.of(raw) == manifest.digest
    assert "raw" not in repr(manifest)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_has_a_config_and_layers(media_type: str) -> None:
    """Config and layers are blobs, in their order, each once."""
    document = image(mediaType=media_type, layers=[entry(2), entry(3), entry(2, size=99)])
    manifest = Manifest.parse(encoded(document))

    assert [(digest(1), 1), (digest(2), 2), (digest(3), 3)] == [(blob.digest, blob.size) for blob in manifest.blobs]
    assert manifest.config == manifest.blobs[0]
    assert not manifest.is_index
    assert manifest.children == ()


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_has_entries(media_type: str) -> None:
    """Entries may lack a platform, be indexes themselves, attestations, or of a kind that nobody knows."""
    attested = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": str(digest(1))}
    document = index(
        entry(1, OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7", "features": ["x"]}),
        entry(2, OCI_INDEX),
        entry(3, OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"}, annotations=attested),
        entry(4, "application/vnd.acme.thing+json", artifactType="application/x", platform=None),
        entry(5, OCI_MANIFEST, platform={"os": "windows", "architecture": "amd64", "os.version": "10.0.1"}),
        mediaType=media_type,
    )
    manifest = Manifest.parse(encoded(document))

    assert manifest.is_index
    assert manifest.blobs == ()
    assert [
        Platform("linux", "arm", "v7"),
        None,
        Platform("unknown", "unknown"),
        None,
        Platform("windows", "amd64", "", "10.0.1"),
    ] == [child.platform for child in manifest.children]
    assert [child.is_attestation for child in manifest.children] == [False, False, True, False, False]
    assert manifest.children[3].artifact_type == "application/x"


def test_an_index_keeps_entries_that_share_a_manifest() -> None:
    """One image may serve several platforms: each of them has to be found."""
    document = index(
        *(entry(1, OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": v}) for v in ("v6", "v7"))
    )

    assert [str(child.platform) for child in Manifest.parse(encoded(document)).children] == [
        "linux/arm/v6",
        "linux/arm/v7",
    ]


def test_an_artifact_may_be_of_any_type() -> None:
    """Helm charts, signatures and SBOMs are manifests with media types of their own, and a subject."""
    document = image(
        artifactType="application/vnd.acme.sbom",
        config=entry(1, "application/vnd.oci.empty.v1+json"),
        layers=[entry(2, "text/spdx+json")],
        subject=entry(7, OCI_MANIFEST),
    )
    manifest = Manifest.parse(encoded(document))

    assert manifest.subject == Descriptor(OCI_MANIFEST, digest(7), 7)
    assert [blob.media_type for blob in manifest.blobs] == ["application/vnd.oci.empty.v1+json", "text/spdx+json"]


def test_an_old_artifact_manifest_names_blobs() -> None:
    """The OCI artifact manifest, which did not become standard, has a list of another name."""
    manifest = Manifest.parse(encoded({"mediaType": OCI_ARTIFACT, "blobs": [entry(1)]}))

    assert (OCI_ARTIFACT, (digest(1),)) == (manifest.media_type, tuple(blob.digest for blob in manifest.blobs))


@pytest.mark.parametrize(
    ("own", "header", "expected"),
    [
        (OCI_MANIFEST, "", OCI_MANIFEST),
        (OCI_MANIFEST, DOCKER_MANIFEST, OCI_MANIFEST),
        (OCI_MANIFEST, "text/plain", OCI_MANIFEST),
        (None, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (None, f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
        (None, OCI_MANIFEST.upper(), OCI_MANIFEST),
        (None, "application/json", OCI_MANIFEST),
        (None, "", OCI_MANIFEST),
        ("application/vnd.acme.image+json", "application/json", "application/vnd.acme.image+json"),
    ],
)
def test_the_media_type_is_the_documents_own_before_the_header(own: str | None, header: str, expected: str) -> None:
    """A document of unknown type is known by its shape, and keeps its type where it is stored."""
    manifest = Manifest.parse(encoded(image(mediaType=own)), header)

    assert expected == manifest.media_type
    assert [digest(1), digest(2)] == [blob.digest for blob in manifest.blobs]


def test_an_index_of_unknown_type_is_an_index() -> None:
    """Its entries are manifests, whatever it calls itself."""
    manifest = Manifest.parse(encoded(index(entry(1, OCI_MANIFEST), mediaType="application/vnd.acme.list+json")))

    assert manifest.is_index
    assert manifest.media_type == "application/vnd.acme.list+json"


@pytest.mark.parametrize(
    ("media_type", "urls", "foreign"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", ["https://x"], True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", ["https://x"], True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", None, False),
        (GZIP, ["https://x"], False),
        (GZIP, "https://x", False),
        (GZIP, 5, False),
        (GZIP, [1, None], False),
    ],
)
def test_foreign_layers_are_told_by_type_and_urls(media_type: str, urls: Any, foreign: bool) -> None:
    """Registries want to have every other layer, even where it has URLs."""
    assert foreign is Descriptor.parse(entry(1, media_type, urls=urls)).is_foreign


def signed(payload: bytes) -> bytes:
    """Sign a schema 1 manifest as docker did: the signature goes into the document, right before its last brace."""
    length = payload.rindex(b"\n}")
    tail = base64.urlsafe_b64encode(payload[length:]).rstrip(b"=").decode()
    protected = json.dumps({"formatLength": length, "formatTail": tail, "time": "2015-01-01T00:00:00Z"}).encode()
    signature = {"header": {}, "signature": "x", "protected": base64.urlsafe_b64encode(protected).rstrip(b"=").decode()}
    return payload[:length] + b',\n   "signatures": ' + json.dumps([signature]).encode() + b"\n}"


def schema1(*numbers: int) -> bytes:
    """An unsigned schema 1 manifest."""
    layers = [{"blobSum": str(digest(number))} for number in numbers]
    return encoded({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": layers, "history": []})


@pytest.mark.parametrize("header", ["", DOCKER_SCHEMA1, "application/json"])
def test_schema1_names_layers_without_sizes(header: str) -> None:
    """The oldest manifests are known by their version, and their layers' sizes are not known at all."""
    manifest = Manifest.parse(schema1(1, 2, 1), header)

    assert manifest.media_type == DOCKER_SCHEMA1
    assert [(digest(1), UNKNOWN_SIZE), (digest(2), UNKNOWN_SIZE)] == [(one.digest, one.size) for one in manifest.blobs]


@pytest.mark.parametrize("header", ["", DOCKER_SCHEMA1_SIGNED])
def test_a_signed_schema1_manifest_has_the_digest_of_what_is_signed(header: str) -> None:
    """Registries give that digest for it, although the bytes that they send have another one."""
    payload = schema1(1, 2)
    raw = signed(payload)
    manifest = Manifest.parse(raw, header, digest=Digest.of(payload))

    assert (DOCKER_SCHEMA1_SIGNED, raw) == (manifest.media_type, manifest.raw)
    assert manifest.digest == Manifest.parse(raw, header).digest == Digest.of(payload)
    assert [digest(1), digest(2)] == [blob.digest for blob in manifest.blobs]


def test_a_real_registrys_schema1_manifest_is_read(tmp_path: Path, repo: str) -> None:
    """docker-registry signs one anew for each answer: the bytes differ, the digest that it gives does not."""
    with DockerRegistry(tmp_path / "registry") as registry:
        push(registry.host, repo, image_of("old", docker=True), "old")
        url = f"http://{registry.host}/v2/{repo}/manifests/old"
        with urlopen(Request(url, headers={"Accept": DOCKER_SCHEMA1_SIGNED}), timeout=30) as answer:
            raw, headers = answer.read(), answer.headers
    given = Digest.parse(headers["Docker-Content-Digest"])

    assert not given.matches(raw)
    assert given == Manifest.parse(raw, headers["Content-Type"]).digest
    assert raw == Manifest.parse(raw, headers["Content-Type"], digest=given).raw


def test_a_signature_does_not_bend_digests_of_other_manifests() -> None:
    """A field called signatures is nothing special elsewhere: the digest is that of the bytes."""
    payload = encoded(image())
    raw = signed(payload)

    assert Digest.of(raw) == Manifest.parse(raw).digest
    with pytest.raises(DigestMismatch):
        Manifest.parse(raw, digest=Digest.of(payload))


@pytest.mark.parametrize(
    "signatures",
    [
        *([], [None], [{}], [{"protected": 5}], [{"protected": "!"}], {"a": "b"}, "x", [{"protected": "e30"}]),
        [{"protected": base64.urlsafe_b64encode(b'{"formatLength": "1", "formatTail": "x"}').decode()}],
        [{"protected": base64.urlsafe_b64encode(b'{"formatLength": 1, "formatTail": 5}').decode()}],
        [{"protected": base64.urlsafe_b64encode(b"[" * 100_000).decode()}],
    ],
)
def test_a_broken_signature_changes_nothing(signatures: Any) -> None:
    """Such a manifest has the digest of its bytes, and any other one is refused."""
    raw = encoded({**json.loads(schema1(1)), "signatures": signatures})

    assert Digest.of(raw) == Manifest.parse(raw).digest
    with pytest.raises(DigestMismatch):
        Manifest.parse(raw, digest=digest(1))


def test_wrong_bytes_are_refused_before_they_are_read() -> None:
    """A cut manifest is a matter of its digest, which another attempt may mend, not of its syntax."""
    raw = encoded(image())

    with pytest.raises(DigestMismatch) as caught:
        Manifest.parse(raw[:-20], digest=Digest.of(raw))

    assert caught.value.retryable
    assert raw == Manifest.parse(raw, digest=Digest.of(raw, "sha512")).raw


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "not a JSON object"),
        ("x", "not a JSON object"),
        (None, "not a JSON object"),
        ({}, "no media type"),
        ({"mediaType": "text/html"}, "unknown media type 'text/html'"),
        ({"mediaType": 5, "layers": []}, "mediaType is not a text"),
        (image(mediaType="a/b\r\nX-Evil: 1"), "not a media type"),
        (image(mediaType="image"), "not a media type"),
        (image(layers={}), None),
        (image(layers={"a": 1}), "layers is not a list"),
        (image(layers="abc"), "layers is not a list"),
        (image(layers=[None]), "not an object"),
        (image(layers=[{}]), "no valid size"),
        (image(layers=[entry(1, size="1")]), "no valid size"),
        (image(layers=[entry(1, size=-1)]), "no valid size"),
        (image(layers=[entry(1, size=1.5)]), "no valid size"),
        (image(layers=[entry(1, size=True)]), "no valid size"),
        (image(layers=[entry(1, size=float("nan"))]), "no valid size"),
        (image(layers=[entry(1, size=float("inf"))]), "no valid size"),
        (image(layers=[entry(1, size=2**63)]), "no valid size"),
        (image(layers=[entry(1, size=10**4000)]), "no valid size"),
        (image(layers=[entry(1, digest="sha256:x")]), "not a sha256 or sha512 digest"),
        (image(layers=[entry(1, digest=str(digest(1)).upper())]), "not a sha256 or sha512 digest"),
        (image(layers=[entry(1, digest=None)]), "not a sha256 or sha512 digest"),
        (image(layers=[entry(1, digest=5)]), "digest is not a text"),
        (image(layers=[entry(1, platform={"os": 5})]), "os is not a text"),
        (image(layers=[entry(1, urls=5)]), None),
        (image(layers=[entry(1, annotations=[1])]), None),
        (image(layers=[entry(1, annotations={"a": 1})]), None),
        (image(config=None), None),
        (image(config="x"), "not an object"),
        (image(subject=5), "not an object"),
        (image(layers=None, subject=None), None),
        (index({}), "no valid size"),
        (index(mediaType=OCI_INDEX), None),
        (image(manifests=[entry(1)]), "both an image and an index"),
        (index(entry(1), layers=[entry(2)]), "both an image and an index"),
        (index(entry(1), config=entry(2)), "both an image and an index"),
        ({"schemaVersion": 1}, "fsLayers is not a list"),
        ({"schemaVersion": 1, "fsLayers": [5]}, "fsLayers is not a list"),
        ({"schemaVersion": 1, "fsLayers": [{"blobSum": 5}]}, "blobSum is not a text"),
    ],
)
def test_odd_documents_are_read_or_refused_with_a_reason(document: Any, reason: str | None) -> None:
    """What matters has to be right; what does not may be odd. Nothing but ImageError comes of it."""
    raw = encoded(document)
    if reason is None:
        assert raw == Manifest.parse(raw).raw
        return

    with pytest.raises(ImageError) as caught:
        Manifest.parse(raw)

    assert reason in str(caught.value)
    assert str(Digest.of(raw)) in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"\xff\xfe{}", b"\x1f\x8b\x08\x00", b"null", b"<html>", b"[" * 100_000, b'{"a":' * 100_000),
        b'{"layers": [{"size": ' + b"9" * 10_000 + b"}]}",
        b"\xef\xbb\xbf" + encoded(image()),
        encoded(image()).decode().encode("utf-16"),
        b'{"signatures"' * 50_000,
    ],
)
def test_bytes_that_are_no_manifest_are_refused(raw: bytes) -> None:
    """Garbage, other encodings, endless nesting and numbers: one sentence each."""
    with pytest.raises(ImageError) as caught:
        Manifest.parse(raw, OCI_MANIFEST)

    assert str(caught.value).startswith(f"{Digest.of(raw)} is no valid manifest: ")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(str(digest(1)))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
descriptors = st.dictionaries(
    st.sampled_from(["mediaType", "digest", "size", "platform", "annotations", "artifactType", "urls"]), json_values
)
keys = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "subject", "fsLayers", "signatures"]
)


@given(
    st.dictionaries(keys, st.one_of(json_values, descriptors, st.lists(descriptors, max_size=2))),
    st.sampled_from(["", OCI_MANIFEST, OCI_INDEX, OCI_ARTIFACT, DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED]),
)
def test_any_document_is_a_manifest_or_an_error_of_ours(document: dict[str, Any], header: str) -> None:
    """Nothing but our own errors leaves the parser, and what it gives can be hashed and shown."""
    raw = encoded(document)
    try:
        manifest = Manifest.parse(raw, header)
    except DregsyError:
        return

    assert hash(manifest) == hash(Manifest.parse(raw, header))
    assert repr(manifest)
