"""What a journal spares, counted at the registries; and that nothing in it, however wrong, harms an image."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.journal import NAME, Journal
from dregsy.model.digest import Digest
from dregsy.model.plan import Rule
from dregsy.model.platform import Platform
from dregsy.model.report import Report, Status
from tests.testbed.command import Dregsy, mirror
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
ARM = Platform.parse("linux/arm64")
INDEX = images.index(images.image("x"), images.image("x/arm", platform=ARM), attested=True)
TAGS = [f"v{number}" for number in range(200)]
MOST = 1.05


class Mirror:
    """Mirrors the first registry to the second; each run is a process of its own, as far as memory goes."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.state = folder / "state"
        self.source, self.target = pair
        self._folder = folder
        self._runs = 0

    async def run(self, *rules: Rule, ttl: float = 3600.0, kept: bool = True) -> Report:
        """Run a task to its end, with a journal in a file or without."""
        self._runs += 1
        for registry in (self.source, self.target):
            registry.log.clear()
        journal = Journal(self.state / NAME, ttl) if kept else Journal()
        async with Workshop(self._folder / str(self._runs), journal=journal) as shop:
            return await shop.run(task(self.source.host, (self.target.host,), *rules))

    @property
    def requests(self) -> int:
        """How many requests the last run took at both registries, but for their greeting, which is asked for once."""
        greetings = [registry.count("GET", r"^/v2/\?$") for registry in (self.source, self.target)]
        assert max(greetings) <= 1
        return len(self.source.requests) + len(self.target.requests) - sum(greetings)

    def execute(self, *statements: str) -> None:
        """Change the journal by hand."""
        with closing(sqlite3.connect(self.state / NAME / "facts-1.db")) as db, db:
            for sql in statements:
                db.execute(sql)


@pytest.fixture
def mirrored(tmp_path: Path, embedded_pair: Pair) -> Mirror:
    """A mirror, to be filled."""
    return Mirror(tmp_path, embedded_pair)


async def fill(mirror: Mirror, repositories: Sequence[str], tags: Sequence[str], image: Image = INDEX) -> None:
    """Give both registries the same tags."""
    for registry in (mirror.source, mirror.target):
        for repository in repositories:
            await images.seed(registry, repository, image, *tags)


def statuses(report: Report) -> set[Status | None]:
    """How the images of a run ended."""
    return {one.status for one in report.outcomes}


@pytest.mark.parametrize("repositories", [1, 40])
async def test_unchanged_tags(repositories: int, mirrored: Mirror) -> None:
    """An unchanged tag costs two requests, and with a journal just over one; literal tags are not listed."""
    names, tags = [f"app{number}" for number in range(repositories)], TAGS[: len(TAGS) // repositories]
    await fill(mirrored, names, tags)
    rules = [rule(name, tags=tuple(tags)) for name in names]
    for _ in range(2):
        report = await mirrored.run(*rules, kept=False)
        assert (statuses(report), mirrored.requests <= 2 * len(TAGS)) == ({Status.CURRENT}, True)
    await mirrored.run(*rules)
    for _ in range(2):
        report = await mirrored.run(*rules)
        assert (statuses(report), len(report.outcomes)) == ({Status.CURRENT}, len(TAGS))
        assert len(TAGS) < mirrored.requests <= MOST * len(TAGS)
        assert mirrored.source.count("GET", "/app") == mirrored.target.count("GET", "/app") == 0


async def test_listed_tags(mirrored: Mirror) -> None:
    """Where tags are selected, the list comes on top, and nothing else."""
    await fill(mirrored, ["app"], TAGS)
    for _ in range(2):
        await mirrored.run(rule("app", tags=("regex: v.*",)))
    assert mirrored.requests <= MOST * len(TAGS)
    assert mirrored.source.count("GET", "/app") == mirrored.source.count("GET", "/tags/list")


@pytest.mark.parametrize("kind", ["platform", "platforms"])
async def test_platforms(kind: str, mirrored: Mirror) -> None:
    """A part of an index costs no more: its manifest is read once, and by the next process not at all."""
    of = rule("app", tags=tuple(TAGS[:80]))
    of = replace(of, platforms=(ARM,)) if kind == "platform" else replace(of, subset=(ARM,))
    await images.seed(mirrored.source, "app", INDEX, *TAGS[:80])
    assert statuses(await mirrored.run(of)) == {Status.COPIED}
    assert statuses(await mirrored.run(of)) == {Status.CURRENT}
    assert mirrored.source.count("GET", "/manifests/") == 0
    assert mirrored.requests <= MOST * 80


async def test_copied_is_known(mirrored: Mirror) -> None:
    """A run after one that copied everything begins warm; it copies what moved, and asks for no known blob."""
    await images.seed(mirrored.source, "app", INDEX, *TAGS)
    assert statuses(await mirrored.run(rule("app", tags=tuple(TAGS)))) == {Status.COPIED}
    assert statuses(await mirrored.run(rule("app", tags=tuple(TAGS)))) == {Status.CURRENT}
    assert mirrored.requests <= MOST * len(TAGS)
    changed = images.index(images.image("x"), images.image("x/arm", platform=ARM))
    await images.seed(mirrored.source, "app", changed, TAGS[3])
    report = await mirrored.run(rule("app", tags=tuple(TAGS)))
    assert report.counts[Status.COPIED] == 1
    assert mirrored.target.store.find("app").resolve(TAGS[3]) == changed.digest
    assert mirrored.target.count("HEAD", "/blobs/") == 0


async def test_mounted_after_a_restart(mirrored: Mirror) -> None:
    """What one process brought, the next one mounts, and reads from no source again."""
    await images.seed(mirrored.source, "app", INDEX, "v1")
    await images.seed(mirrored.source, "lib", INDEX, "v1")
    await mirrored.run(rule("app", tags=("v1",)))
    await mirrored.run(rule("lib", tags=("v1",)))
    assert mirrored.source.count("GET", "/blobs/") == mirrored.target.count("HEAD", "/blobs/") == 0
    assert mirrored.target.count("POST", "mount=") == len(INDEX.blobs)


@pytest.mark.parametrize("loss", ["deleted", "expired"])
async def test_without_its_journal(loss: str, mirrored: Mirror) -> None:
    """A run whose journal is gone or too old does as one that never had any."""
    await fill(mirrored, ["app"], TAGS[:40])
    of = rule("app", tags=tuple(TAGS[:40]))
    await mirrored.run(of)
    if loss == "deleted":
        shutil.rmtree(mirrored.state)
    else:
        mirrored.execute("UPDATE tags SET seen = seen - 3600")
    mirrored.target.store.find("app").tags.clear()
    assert statuses(await mirrored.run(of)) == {Status.COPIED}
    assert len(mirrored.target.store.find("app").tags) == 40


LIES = {
    "tags": ["UPDATE tags SET digest = (SELECT digest FROM tags WHERE reference = 'new')"],
    "blobs": [
        "UPDATE OR REPLACE blobs SET repository = 'lib'",
        "INSERT OR REPLACE INTO blobs SELECT host, digest, 'app', seen FROM blobs",
        "INSERT INTO blobs SELECT host, digest, 'nowhere', seen + 0.001 FROM blobs WHERE repository = 'app'",
    ],
    "contents": ["UPDATE contents SET packed = (SELECT max(packed) FROM contents)"],
    "guesses": [
        "UPDATE OR REPLACE tags SET repository = 'app'",
        "UPDATE contents SET digest = 'sha256:' || hex(digest)",
    ],
}


@pytest.mark.parametrize("lie", LIES)
async def test_lies(lie: str, mirrored: Mirror) -> None:
    """Whatever wrong facts stand in the journal, of any kind: the right images are at the target after the run."""
    new = images.index(images.image("n"), images.image("n/arm", platform=ARM), attested=True)
    rules = [
        rule("app", tags=("old", "new")),
        replace(rule("app", "some", tags=("old", "new")), subset=(ARM,)),
        replace(rule("app", "one", tags=("old", "new")), platforms=(ARM,)),
    ]
    await images.seed(mirrored.source, "app", INDEX, "old", "new")
    assert statuses(await mirrored.run(*rules)) == {Status.COPIED}
    await images.seed(mirrored.source, "app", new, "new")
    assert Status.FAILED not in statuses(await mirrored.run(*rules))
    expected = tags_of(mirrored)
    mirrored.execute(*LIES[lie])
    for name in mirrored.target.store.names():
        repository = mirrored.target.store.find(name)
        for digest in list(repository.manifests):
            repository.delete_manifest(str(digest))
        for digest in list(repository.blobs):
            repository.delete_blob(digest)

    report = await mirrored.run(*rules)

    assert [one.failure for one in report.outcomes if one.failure] == []
    assert tags_of(mirrored) == expected
    assert {Digest.of(bytes(blob)) for blob in mirrored.target.store.find("app").blobs.values()} == {
        *INDEX.blobs,
        *new.blobs,
    }


def tags_of(mirror: Mirror) -> dict[str, dict[str, Digest]]:
    """Tell what all tags of the target point at."""
    store = mirror.target.store
    return {name: dict(store.find(name).tags) for name in ("app", "some", "one")}


def test_as_a_user(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """The command, run again, asks the target little; a blob deleted behind its back is sent again."""
    dregsy = Dregsy(tmp_path / "user")
    push(registry_a.host, repo, images.image(repo), *TAGS[:30])
    with RecordingProxy(registry_b.host) as target:
        mapping = {"from": repo, "tags": TAGS[:30]}
        state = {"state": {"path": "state", "ttl": "1h"}}
        config = dregsy.config({**mirror(registry_a.host, target.host, mapping), **state})
        assert dregsy.run("-config", config).code == 0
        target.seen.clear()
        again = dregsy.run("-config", config)
        assert (again.code, target.count("HEAD", "/manifests/")) == (0, 1)
        assert "29 requests saved" in again.said
        shutil.rmtree(registry_b.data / "docker/registry/v2/repositories" / repo)
        shutil.rmtree(registry_b.data / "docker/registry/v2/blobs")
        assert dregsy.run("-config", config).code == 0
    assert sorted(skopeo.tags(f"{registry_b.host}/{repo}")) == sorted(TAGS[:30])
    assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{repo}:v1")
    assert [one.name for one in (dregsy.folder / "state").iterdir()] == [NAME]
