"""The skopeo relay as a user runs it: the command, a real skopeo, real registries."""

import json
import subprocess
from pathlib import Path

import pytest

from dregsy.embedded import images
from tests.testbed.command import SECONDS, Dregsy, mirror
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo


@pytest.fixture
def dregsy(tmp_path: Path) -> Dregsy:
    """The command with a home of its own, where skopeo keeps its memory of blobs, too."""
    home = tmp_path / "dregsy"
    return Dregsy(home, {"XDG_DATA_HOME": str(home), "_CONTAINERS_ROOTLESS_UID": "1000"})


def test_a_machine_without_rules_for_signatures(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """Where nobody has written skopeo's policy.json images are copied all the same, as upstream does everywhere."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = dregsy.config({"relay": "skopeo", **mirror(registry_a.host, registry_b.host, {"from": repo})})
    elsewhere = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /etc/containers && exec "$@"', "sh"]

    done = subprocess.run(
        [*elsewhere, dregsy.program, "-config", config],
        env=dregsy.environ,
        cwd=dregsy.folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{repo}:v1")


def test_a_policy_of_the_machine_counts(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """What an administrator does not want to be copied is not copied."""
    push(registry_a.host, repo, images.image(repo), "v1")
    policy = dregsy.folder / ".config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "reject"}]}')
    config = dregsy.config({"relay": "skopeo", **mirror(registry_a.host, registry_b.host, {"from": repo})})

    done = dregsy.run("-config", config)

    assert done.code == 1
    assert "rejected by policy" in done.out


def test_what_skopeo_does_not_count_is_unknown(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """No report says that nothing was sent when it is only not known how much."""
    push(registry_a.host, repo, images.image(repo), "v1", "v2")
    mapping = {"relay": "skopeo", **mirror(registry_a.host, registry_b.host, {"from": repo, "tags": ["v1"]})}
    done = dregsy.run("run", "--json", "-config", dregsy.config(mapping))
    (task,) = json.loads(done.out)["tasks"]

    assert (task["copied"], task["bytes_read"], task["bytes_written"]) == (1, None, None)
    assert [sorted(image.keys() & {"bytes_read", "bytes_written", "blobs_moved"}) for image in task["images"]] == [[]]
    assert " 0 B" not in done.said
