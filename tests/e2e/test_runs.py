"""Runs of the command as upstream's documentation and code have them, from cases/runs.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dregsy.embedded import images
from tests.testbed.command import Dregsy
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases" / "runs.yaml").read_text())
TASKS = ("task-a", "other", "task-abc")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_run(
    case: dict[str, Any], tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Exactly these tasks run, once each and in their order, with this exit code and word of why."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with RecordingProxy(registry_b.host) as target:
        places = {"source": {"registry": registry_a.host}, "target": {"registry": target.host}}
        tasks = [{"name": name, **places, "mappings": [{"from": repo, "to": f"{repo}/{name}"}]} for name in TASKS]
        dregsy = Dregsy(tmp_path, case.get("environ"))
        file = dregsy.write(case["config"]) if "config" in case else dregsy.config({"tasks": tasks})
        named = [] if case.get("without-config") else ["-config", file]
        done = dregsy.run(*named, *case.get("arguments", ()))
        written = [one.path for one in target.seen if one.method == "PUT" and one.path.endswith("/manifests/v1")]

    assert written == [f"/v2/{repo}/{name}/manifests/v1" for name in case["ran"]]
    assert done.code == case["code"]
    assert case.get("says", "") in done.said
