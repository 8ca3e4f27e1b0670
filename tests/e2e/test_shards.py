"""Several dregsys share the work of one file."""

import json
from pathlib import Path

import pytest

from dregsy.embedded import images
from tests.testbed.command import Dregsy, mirror
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

REPLICAS = 3
REPOSITORIES = 12


def test_replicas_share_the_work(tmp_path: Path, registry_b: DockerRegistry, repo: str) -> None:
    """Three at once, told apart by the names of their hosts alone, copy each image exactly once, and all of them.

    Nobody asks for the tags of a repository that is another one's.
    """
    names = [f"{repo}/{number}" for number in range(REPOSITORIES)]
    with DockerRegistry(tmp_path / "source") as source, RecordingProxy(registry_b.host) as target:
        for name in names:
            push(source.host, name, images.image(name, layers=1, size=100), "v1")
        with RecordingProxy(source.host) as asked:
            fixed = {"from": names[0]}
            config = mirror(asked.host, target.host, {"from": f"regex:{repo}/.*", "to": "mirror"}, fixed)
            pods = [Dregsy(tmp_path / f"pod-{n}", {"HOSTNAME": f"pod-{n}"}) for n in range(REPLICAS)]
            running = [
                pod.start("-config", pod.config(config), "--shard", f"auto/{REPLICAS}", "--json") for pod in pods
            ]
            codes = [process.wait(60) for process in running]
        assert codes == [0] * REPLICAS
        assert asked.count("GET", "/tags/list") == REPOSITORIES + 1
    told = [json.loads((pod.folder / "out").read_text())["tasks"] for pod in pods]
    copied = [image["target"] for tasks in told for task in tasks for image in task["images"]]
    wanted = [f"{target.host}/mirror/{name}:v1" for name in names] + [f"{target.host}/{names[0]}:v1"]
    assert sorted(wanted) == sorted(copied)
    assert target.count("PUT", "/manifests/v1") == REPOSITORIES + 1


@pytest.mark.parametrize(("shard", "host"), [("3/3", ""), ("auto/3", "dregsy"), ("auto/3", ""), ("1", "")])
def test_no_shard(tmp_path: Path, shard: str, host: str) -> None:
    """What means no part of the work is refused: a replica without a part would leave some undone, or do all again."""
    dregsy = Dregsy(tmp_path, {"HOSTNAME": host})
    done = dregsy.run("-config", dregsy.write("tasks: []\n"), "-shard", shard)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: --shard '{shard}' ")
