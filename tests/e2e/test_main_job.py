"""The main job as a user does it: a file, the command, real registries, skopeo as the judge."""

import base64
import json
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from tests.testbed.command import Dregsy, mirror
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import basic, push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo


@pytest.fixture
def dregsy(tmp_path: Path) -> Dregsy:
    """Return the command with an empty home."""
    return Dregsy(tmp_path / "user")


def auth(user: str, password: str) -> str:
    """Write a login as config files have it."""
    return base64.b64encode(json.dumps({"username": user, "password": password}).encode()).decode()


def test_everything_arrives_byte_for_byte(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """An index with attestations, single images of both formats and an artifact are the same at the target."""
    wanted = {
        "index": images.index(images.image(f"{repo} a"), images.image(f"{repo} b", layers=3), attested=True),
        "oci": images.image(f"{repo} oci"),
        "docker": images.image(f"{repo} docker", docker=True),
        "list": images.index(images.image(f"{repo} list", docker=True), docker=True),
        "sbom": images.artifact(images.image(f"{repo} oci"), text=repo),
    }
    for tag, image in wanted.items():
        push(registry_a.host, repo, image, tag)

    done = dregsy.run(
        "-config", dregsy.config(mirror(registry_a.host, registry_b.host, {"from": repo, "to": f"m/{repo}"}))
    )

    assert (done.code, done.err) == (0, "")
    for tag in wanted:
        assert skopeo.same_image(f"{registry_a.host}/{repo}:{tag}", f"{registry_b.host}/m/{repo}:{tag}"), tag


def test_a_second_run_costs_two_heads_a_tag(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Nothing to do: one HEAD at the source and one at the target for each tag, one listing, no GET of an image."""
    tags = [f"v{number}" for number in range(5)]
    push(registry_a.host, repo, images.image(repo), *tags)
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        config = dregsy.config(mirror(source.host, target.host, {"from": repo}))
        assert dregsy.run("-config", config).code == 0
        source.seen.clear()
        target.seen.clear()

        assert dregsy.run("-config", config).code == 0

        assert (source.count("HEAD", "/manifests/"), source.count("GET", "/(manifests|blobs)/")) == (5, 0)
        assert source.count("GET", "/tags/list") == 1
        assert target.count("HEAD", "/manifests/") == 5
        assert {"HEAD", "GET"} == {seen.method for seen in target.seen}
        assert target.count("GET", "") == 1  # the greeting


def test_one_changed_tag_moves_only_what_changed(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """A tag that was moved at the source is written again; blobs that are there are not sent again."""
    push(registry_a.host, repo, images.image(f"{repo} 1"), "stable")
    push(registry_a.host, repo, images.image(f"{repo} 2"), "moving")
    with RecordingProxy(registry_b.host) as target:
        config = dregsy.config(mirror(registry_a.host, target.host, {"from": repo}))
        assert dregsy.run("-config", config).code == 0
        push(registry_a.host, repo, images.image(f"{repo} 3"), "moving")
        target.seen.clear()

        assert dregsy.run("-config", config).code == 0

        assert target.count("PUT", "/manifests/") == 1
        assert target.count("PUT", "/manifests/moving") == 1
    assert skopeo.same_image(f"{registry_a.host}/{repo}:moving", f"{registry_b.host}/{repo}:moving")


def test_one_read_feeds_several_targets(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """With ``targets`` every blob leaves the source once and arrives everywhere."""
    image = images.image(repo, layers=4)
    push(registry_a.host, repo, image, "v1")
    with RecordingProxy(registry_a.host) as source:
        task = mirror(source.host, "", {"from": repo, "to": f"x/{repo}"})
        del task["tasks"][0]["target"]
        task["tasks"][0]["targets"] = [{"registry": registry_b.host}, {"registry": registry_a.host}]

        assert dregsy.run("-config", dregsy.config(task)).code == 0

        assert len(image.blobs) == source.count("GET", "/blobs/")
    for target in (registry_b.host, registry_a.host):
        assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{target}/x/{repo}:v1")


def test_platform_picks_one_image(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """``platform`` puts that one image of an index at the target, and nothing where there is none."""
    from dregsy.model.platform import Platform

    arm = images.image(f"{repo} arm", platform=Platform("linux", "arm64"))
    push(registry_a.host, repo, images.index(images.image(f"{repo} amd"), arm), "v1")
    host = registry_b.host
    good = dregsy.config(mirror(registry_a.host, host, {"from": repo, "platform": "linux/arm64/v8"}), "good.yaml")
    bad = dregsy.config(
        mirror(registry_a.host, host, {"from": repo, "to": "bad", "platform": "linux/s390x"}), "bad.yaml"
    )

    assert dregsy.run("-config", good).code == 0
    done = dregsy.run("-config", bad)

    assert {str(arm.digest)} == set(skopeo.digests(f"{host}/{repo}:v1"))
    assert done.code == 1
    assert "linux/amd64, linux/arm64" in done.out


def test_a_failed_tag_stops_nothing_else(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """A tag that isn't there is listed with its reason and file line; the others arrive; the exit code is 1."""
    push(registry_a.host, repo, images.image(repo), "v1", "v3")

    done = dregsy.run(
        "-config", dregsy.config(mirror(registry_a.host, registry_b.host, {"from": repo, "tags": ["v1", "v2", "v3"]}))
    )

    assert done.code == 1
    assert sorted(skopeo.tags(f"{registry_b.host}/{repo}")) == ["v1", "v3"]
    assert f"there is no image {registry_a.host}/{repo}:v2" in done.said
    assert "sync.yaml:" in done.said


def test_logins_reach_the_registry_exactly(dregsy: Dregsy, tmp_path: Path, repo: str) -> None:
    """A password with every odd character works, and shows in no output, not even at the wrong registry."""
    password = 'p%s"\\:ä{}$x'
    with (
        DockerRegistry(tmp_path / "source", users={"alice": password}) as source,
        DockerRegistry(tmp_path / "target", users={"bob": "other"}) as target,
    ):
        push(source.host, repo, images.image(repo), "v1", headers=basic("alice", password))
        config = mirror(source.host, target.host, {"from": repo})
        config["tasks"][0]["source"]["auth"] = auth("alice", password)
        config["tasks"][0]["target"]["auth"] = auth("bob", "other")
        good = dregsy.run("-config", dregsy.config(config))
        config["tasks"][0]["source"]["auth"] = auth("alice", f"{password}!")
        config["tasks"][0]["mappings"][0]["to"] = "elsewhere"
        wrong = dregsy.run("-config", dregsy.config(config))

    assert good.code == 0
    assert wrong.code == 1
    assert "check the login" in wrong.said
    for said in (good.said, wrong.said):
        assert password not in said
        assert auth("alice", password) not in said


def test_environment_and_files_give_secrets(tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """``${VAR}`` and ``${file:…}`` in ``auth`` work, and what they held is not shown."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with DockerRegistry(tmp_path / "target", users={"bob": "se cret"}) as target:
        dregsy = Dregsy(tmp_path / "user", {"TARGET": target.host})
        (dregsy.folder / "auth").write_text(auth("bob", "se cret") + "\n")
        config = mirror(registry_a.host, "${TARGET}", {"from": repo})
        config["tasks"][0]["target"]["auth"] = f"${{file:{dregsy.folder}/auth}}"

        done = dregsy.run("-config", dregsy.config(config))
        shown = dregsy.run("show", "-config", "sync.yaml")

    assert (done.code, done.err) == (0, "")
    assert "se cret" not in done.said + shown.said
    assert auth("bob", "se cret") not in done.said + shown.said


def test_the_embedded_registries_do_as_well(tmp_path: Path) -> None:
    """``dregsy demo`` runs the whole story by itself, checks it, and ends with 0."""
    done = Dregsy(tmp_path / "user").run("demo")

    assert (done.code, done.err) == (0, "")


async def test_config_from_stdin(
    dregsy: Dregsy, registry_a: DockerRegistry, repo: str, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]
) -> None:
    """``-config -`` reads the file from standard input."""
    import asyncio

    push(registry_a.host, repo, images.image(repo), "v1")
    text = json.dumps(mirror(registry_a.host, embedded_pair[0].host, {"from": repo}))

    done = await asyncio.to_thread(dregsy.run, "-config", "-", stdin=text)

    assert (done.code, done.err) == (0, "")
    assert embedded_pair[0].count("PUT", "/manifests/v1") == 1


def test_show_of_a_file_that_names_its_relay(dregsy: Dregsy) -> None:
    """``show`` prints what a file means, whichever relay it names."""
    for relay in ("native", "skopeo", "docker"):
        config = {"relay": relay, **mirror("a.example.com", "b.example.com", {"from": "x"})}

        done = dregsy.run("show", "-config", dregsy.config(config))

        assert (done.code, done.err, f"relay: {relay}" in done.out) == (0, "", True)


def test_one_off_tasks_run_once(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A file with one-off tasks alone: each runs one time, in the order of the file, and the command ends with 0."""
    push(registry_a.host, repo, images.image(repo), "v1")
    both = [
        mirror(registry_a.host, registry_b.host, {"from": repo, "to": f"{name}/{repo}"}, name=name)["tasks"][0]
        for name in ("second", "first")
    ]

    done = dregsy.run("-config", dregsy.config({"tasks": both}))

    begun = [line.split("task ")[1].split()[0] for line in done.out.splitlines() if " started: " in line]
    assert (done.code, done.err, begun) == (0, "", ["'second'", "'first'"])
    assert done.out.count(" finished: 1 copied") == 2


@pytest.mark.parametrize("relay", ["native", "skopeo"])
def test_platforms_to_two_targets(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo, relay: str
) -> None:
    """One image of an index goes to one place, another to another, and with ``all`` the index to a third, untouched."""
    from dregsy.model.platform import Platform

    arm = images.image(f"{repo} arm", platform=Platform("linux", "arm64", "v8"))
    amd = images.image(f"{repo} amd", platform=Platform("linux", "amd64"))
    index = images.index(arm, amd)
    push(registry_a.host, repo, index, "v1")
    wanted = {
        "linux/arm64/v8": [arm.digest],
        "linux/amd64": [amd.digest],
        "all": [index.digest, arm.digest, amd.digest],
    }
    places = {platform: f"{repo}/{number}" for number, platform in enumerate(wanted)}
    mappings = [{"from": repo, "to": place, "platform": platform} for platform, place in places.items()]

    done = dregsy.run("-config", dregsy.config({"relay": relay, **mirror(registry_a.host, registry_b.host, *mappings)}))

    assert (done.code, done.err) == (0, "")
    for platform, digests in wanted.items():
        found = skopeo.digests(f"{registry_b.host}/{places[platform]}:v1")
        assert sorted(map(str, digests)) == sorted(found), platform
