"""Filters and names as a user writes them, against real registries."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.model.platform import Platform
from tests.testbed.command import Dregsy, mirror
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo


@pytest.fixture
def dregsy(tmp_path: Path) -> Dregsy:
    """Return the command with an empty home."""
    return Dregsy(tmp_path / "user")


def test_quarantine_names_and_tags_that_never_change(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """Only what is old enough arrives, under its new name; a second run asks the target for one list of tags."""
    for tag, days in (("1.0", 90), ("1.1", 60), ("1.1-rc1", 50), ("1.2", 30), ("1.3", 1)):
        created = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        push(registry_a.host, repo, images.image(f"{repo}/{tag}", created=created), tag)
    target = f"{registry_b.host}/m/{repo}"
    mapping = {
        "from": repo,
        "to": f"m/{repo}",
        "tags": ["keep: newest 2"],
        "exclude": "regex: .*-rc.*",
        "older-than": "1w",
        "skip-existing": True,
        "to-tag": r"regex:^([0-9]+)\.,${1}_",
        "tag-suffix": "-x",
    }
    with RecordingProxy(registry_b.host) as watched:
        config = dregsy.config(mirror(registry_a.host, watched.host, mapping))

        assert dregsy.run("-config", config).code == 0
        assert sorted(skopeo.tags(target)) == ["1_1-x", "1_2-x"]
        assert skopeo.same_image(f"{registry_a.host}/{repo}:1.2", f"{target}:1_2-x")
        watched.seen.clear()
        again = dregsy.run("-config", config)

        assert (again.code, watched.count("HEAD", ""), watched.count("GET", "/tags/list")) == (0, 0, 1)
        assert "0 copied, 2 up to date" in again.said


def test_some_platforms(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """A subset arrives with its attestations as an index whose digest is told, and then is up to date."""
    platforms = [Platform("linux", one) for one in ("amd64", "arm64", "s390x")]
    index = images.index(*(images.image(f"{repo}/{one}", platform=one) for one in platforms), attested=True)
    push(registry_a.host, repo, index, "v1")
    mapping = {"from": repo, "to": f"m/{repo}", "tags": ["v1"], "platforms": ["linux/arm64", "linux/amd64"]}
    config = dregsy.config(mirror(registry_a.host, registry_b.host, mapping))

    first, second = dregsy.run("-config", config), dregsy.run("-config", config)

    found = skopeo.digests(f"{registry_b.host}/m/{repo}:v1")
    children = [str(index.top.children[place].digest) for place in (0, 1, 3, 4)]
    assert (first.code, second.code, list(found)[1:]) == (0, 0, children)
    assert next(iter(found)) in first.said
    assert "0 copied, 1 up to date" in second.said


def test_two_mappings_for_one_tag(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """The first mapping's image is at the target after each run; the other one is a failure that names both lines."""
    for name in ("one", "two"):
        push(registry_a.host, f"{repo}/{name}", images.image(f"{repo}/{name}"), "v1")
    target = f"m/{repo}"
    mappings = [{"from": f"{repo}/{name}", "to": target, "tags": ["v1"]} for name in ("one", "two")]
    config = dregsy.config(mirror(registry_a.host, registry_b.host, *mappings))

    for _ in range(2):
        done = dregsy.run("-config", config)
        assert done.code == 1
        assert done.said.count(f"is to hold {registry_a.host}/{repo}/one:v1 already, by {config}:") >= 1
        assert skopeo.same_image(f"{registry_a.host}/{repo}/one:v1", f"{registry_b.host}/{target}:v1")
