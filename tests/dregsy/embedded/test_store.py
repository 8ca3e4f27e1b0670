import json
from collections.abc import Callable

import pytest

from dregsy.embedded.images import artifact, image, index, seed
from dregsy.embedded.store import MANIFEST_LIMIT, Repository, Store
from dregsy.errors import RegistryError
from dregsy.model.digest import Digest
from dregsy.model.manifest import DOCKER_MANIFEST, DOCKER_SCHEMA1, OCI_INDEX, OCI_MANIFEST

FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
NOWHERE = Digest.of(b"nowhere")


def refused(action: Callable[[], object]) -> tuple[int, tuple[str, ...]]:
    """Return with which status and codes something was refused."""
    with pytest.raises(RegistryError) as caught:
        action()
    return caught.value.status, caught.value.codes


async def filled() -> tuple[Store, Repository]:
    """Return a store with one image, and the repository of that image."""
    store = Store()
    await seed(store, "a/b", image("a"), "v1")
    return store, store.find("a/b")


def changed(**fields: object) -> bytes:
    """Return the manifest of the image that ``filled`` stores, with some fields changed."""
    return json.dumps({**json.loads(image("a").top.raw), **fields}).encode()


async def test_an_image_is_found_by_tag_and_by_digest() -> None:
    """A tag and the digest it stands for lead to the same manifest."""
    _, repository = await filled()
    assert image("a").digest == repository.resolve("v1")
    assert image("a").digest == repository.resolve(str(image("a").digest))


async def test_a_tag_moves() -> None:
    """Pushing another image under a tag moves the tag, and leaves the old image there."""
    store, repository = await filled()
    await seed(store, "a/b", image("b"), "v1")
    assert image("b").digest == repository.resolve("v1")
    assert image("a").digest in repository.manifests


@pytest.mark.parametrize("reference", ["v2", str(NOWHERE), "sha256:12", "", "-"])
async def test_what_is_not_there_is_unknown(reference: str) -> None:
    """Whatever does not name a manifest is MANIFEST_UNKNOWN, be it well-formed or not."""
    _, repository = await filled()
    assert refused(lambda: repository.resolve(reference)) == (404, ("MANIFEST_UNKNOWN",))


async def test_repositories_do_not_see_each_others_blobs() -> None:
    """A blob is found only in repositories that link it, which mounting does."""
    store, repository = await filled()
    digest = next(iter(repository.blobs))
    other = store.open("other")
    assert refused(lambda: other.blob(digest)) == (404, ("BLOB_UNKNOWN",))
    assert store.mount("other", str(digest), "a/b")
    assert repository.blob(digest) == other.blob(digest)


async def test_a_mount_shares_the_content() -> None:
    """Mounted blobs take no memory of their own, and survive where they came from."""
    store, repository = await filled()
    digest = next(iter(repository.blobs))
    store.mount("other", str(digest), "a/b")
    assert repository.blobs[digest] is store.find("other").blobs[digest]
    repository.delete_blob(digest)
    assert store.find("other").blob(digest)


@pytest.mark.parametrize(("digest", "source"), [(str(NOWHERE), "a/b"), ("x", "a/b"), (str(NOWHERE), "UPPER"), ("", "")])
async def test_a_mount_that_cannot_be_makes_nothing(digest: str, source: str) -> None:
    """Mounting what is not there is no error, and no repository comes of it."""
    store, _ = await filled()
    assert not store.mount("other", digest, source)
    assert store.names() == ["a/b"]


@pytest.mark.parametrize("name", ["UPPER", "a//b", "", "a/", "a" * 256, "a\n"])
def test_illegal_names_are_refused(name: str) -> None:
    """A repository name outside the grammar is NAME_INVALID, for reading and writing."""
    assert refused(lambda: Store().find(name)) == (400, ("NAME_INVALID",))
    assert refused(lambda: Store().open(name)) == (400, ("NAME_INVALID",))


def test_reading_makes_no_repository() -> None:
    """To look for a repository does not bring it into the catalog, and neither does an upload that is not finished."""
    store = Store()
    store.find("a")
    store.open("b").start_upload()
    assert store.names() == []
    assert refused(lambda: store.tags("a")) == (404, ("NAME_UNKNOWN",))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_upload_in_pieces_becomes_a_blob(algorithm: str) -> None:
    """Pieces are put together, checked against either kind of digest, and the upload is over."""
    repository = Repository()
    upload = repository.start_upload()
    upload.append(b"one")
    repository.upload(upload.id).append(b"two")
    digest = Digest.of(b"onetwo", algorithm)
    repository.finish_upload(upload, digest)
    assert bytes(repository.blob(digest)) == b"onetwo"
    assert refused(lambda: repository.upload(upload.id)) == (404, ("BLOB_UPLOAD_UNKNOWN",))


def test_an_upload_with_another_digest_is_dropped() -> None:
    """Content that is not what its digest says is not stored, and the upload is over."""
    repository = Repository()
    upload = repository.start_upload()
    upload.append(b"one")
    assert refused(lambda: repository.finish_upload(upload, NOWHERE)) == (400, ("DIGEST_INVALID",))
    assert (repository.blobs, repository.uploads) == ({}, {})


def test_a_late_chunk_cannot_change_a_blob() -> None:
    """Bytes that straggle in after an upload was finished leave the blob alone, even while it is read."""
    repository = Repository()
    upload = repository.start_upload()
    upload.append(b"one")
    repository.finish_upload(upload, Digest.of(b"one"))
    reading = repository.blob(Digest.of(b"one"))
    upload.append(b"late")
    assert bytes(reading) == b"one"


def test_uploads_are_bounded() -> None:
    """A blob may have exactly as many bytes as the limit, and not one more."""
    upload = Store(blob_limit=4).open("a").start_upload()
    upload.append(b"1234")
    assert refused(lambda: upload.append(b"5")) == (413, ("SIZE_INVALID",))


async def test_a_manifest_needs_what_it_names() -> None:
    """Blobs and children must be there before; each that is not is one MANIFEST_BLOB_UNKNOWN."""
    repository = Repository()
    one = image("a")
    every = ("MANIFEST_BLOB_UNKNOWN",) * 3
    assert refused(lambda: repository.put_manifest("v1", one.top.raw, OCI_MANIFEST)) == (400, every)
    top = index(one)
    assert refused(lambda: repository.put_manifest("v1", top.top.raw, OCI_INDEX)) == (400, every[:1])
    assert repository.tags == {}


async def test_subjects_and_foreign_layers_may_be_missing() -> None:
    """What a manifest refers to as its subject, or as content of another place, need not be here."""
    _, repository = await filled()
    away = {"mediaType": OCI_MANIFEST, "digest": str(NOWHERE), "size": 3}
    repository.put_manifest("subject", changed(subject=away), OCI_MANIFEST)
    layer = {**away, "mediaType": FOREIGN_LAYER, "urls": ["https://elsewhere.test/"]}
    repository.put_manifest("foreign", changed(layers=[layer]), OCI_MANIFEST)
    assert sorted(repository.tags) == ["foreign", "subject", "v1"]


@pytest.mark.parametrize(
    ("reference", "raw", "media_type", "code"),
    [
        (str(NOWHERE), image("a").top.raw, OCI_MANIFEST, "DIGEST_INVALID"),
        ("-bad", image("a").top.raw, OCI_MANIFEST, "TAG_INVALID"),
        ("a" * 129, image("a").top.raw, OCI_MANIFEST, "TAG_INVALID"),
        ("sha256:12", image("a").top.raw, OCI_MANIFEST, "TAG_INVALID"),
        ("v2", b"garbage", OCI_MANIFEST, "MANIFEST_INVALID"),
        ("v2", b"", OCI_MANIFEST, "MANIFEST_INVALID"),
        ("v2", b"[]", OCI_MANIFEST, "MANIFEST_INVALID"),
        ("v2", b"[" * 100_000, OCI_MANIFEST, "MANIFEST_INVALID"),
        ("v2", image("a").top.raw, DOCKER_MANIFEST, "MANIFEST_INVALID"),
        ("v2", image("a").top.raw, "", "MANIFEST_INVALID"),
        ("v2", changed(mediaType=DOCKER_MANIFEST), OCI_MANIFEST, "MANIFEST_INVALID"),
        ("v2", changed(layers=[{"mediaType": "x", "digest": "sha256:1", "size": 3}]), OCI_MANIFEST, "MANIFEST_INVALID"),
        ("v2", b'{"schemaVersion": 1, "fsLayers": []}', DOCKER_SCHEMA1, "MANIFEST_INVALID"),
    ],
)
async def test_bad_manifests_are_refused(reference: str, raw: bytes, media_type: str, code: str) -> None:
    """Nothing that is no manifest, or not the announced one, is stored; the reason is in the code."""
    _, repository = await filled()
    before = (dict(repository.manifests), dict(repository.tags))
    assert refused(lambda: repository.put_manifest(reference, raw, media_type)) == (400, (code,))
    assert before == (repository.manifests, repository.tags)


async def test_manifests_are_bounded() -> None:
    """A manifest may have 4 MiB."""
    _, repository = await filled()
    raw = changed(annotations={"a": "x" * MANIFEST_LIMIT})
    assert refused(lambda: repository.put_manifest("v2", raw, OCI_MANIFEST)) == (413, ("MANIFEST_INVALID",))


async def test_deleting_a_tag_keeps_the_manifest() -> None:
    """A tag can go alone; a manifest takes its tags along."""
    store, repository = await filled()
    await seed(store, "a/b", image("a"), "v2", "v3")
    repository.delete_manifest("v1")
    assert store.tags("a/b") == ["v2", "v3"]
    repository.delete_manifest(str(image("a").digest))
    assert store.tags("a/b") == []
    assert refused(lambda: repository.delete_manifest("v2")) == (404, ("MANIFEST_UNKNOWN",))


async def test_referrers_are_found_by_subject_and_type() -> None:
    """Artifacts are listed for their subject, narrowed down to one type where that is asked for."""
    store, repository = await filled()
    sbom, signature = artifact(image("a")), artifact(image("a"), kind="application/x-signature")
    await seed(store, "a/b", sbom)
    await seed(store, "a/b", signature)
    found = repository.referrers(image("a").digest)
    assert {str(sbom.digest), str(signature.digest)} == {one["digest"] for one in found}
    assert [one for one in found if one["digest"] == str(signature.digest)] == repository.referrers(
        image("a").digest, "application/x-signature"
    )
    assert repository.referrers(NOWHERE) == []


async def test_a_referrers_type_may_be_its_configs() -> None:
    """An artifact in the manner of OCI 1.0 is listed with the media type of its config."""
    _, repository = await filled()
    subject = {"mediaType": OCI_MANIFEST, "digest": str(NOWHERE), "size": 3}
    repository.put_manifest("old", changed(subject=subject), OCI_MANIFEST)
    found = [one["artifactType"] for one in repository.referrers(NOWHERE)]
    assert found == ["application/vnd.oci.image.config.v1+json"]
