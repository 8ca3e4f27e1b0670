"""The manifests of deploy/kubernetes are right by Kubernetes' own schemas, and mean what docs/kubernetes.md says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate

from dregsy.config.load import load
from dregsy.model.plan import Every, Once, State
from tests.deploy.pods import careful, pods
from tests.testbed.command import Dregsy

FOLDER = Path(__file__).resolve().parents[2] / "deploy/kubernetes"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
VERSIONS = ("1.25", "1.29", "1.33")


def objects(*names: str) -> Iterator[dict[str, Any]]:
    """Read what files hold."""
    for name in names:
        yield from yaml.safe_load_all((FOLDER / name).read_text())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FILES)
def test_each_object_is_valid(name: str, version: str) -> None:
    """No key is unknown to Kubernetes, and each has a value of its kind."""
    documents = list(objects(name))
    for document in documents:
        validate(document, version, strict=True)
    assert all(document["kind"] for document in documents)
    assert documents


@pytest.mark.parametrize("name", ["statefulset.yaml", "cronjob.yaml"])
def test_pods_have_no_rights_and_time_to_end(name: str) -> None:
    """Not root, read-only, no privileges, 10m and 96Mi, and longer to end than dregsy takes."""
    assert [careful(pod) for pod in pods(objects(name))] == [[]]


def test_what_pods_ask_for_is_there() -> None:
    """Secrets, config maps and accounts have the names that the pods use; the service finds the daemon's pods."""
    everything = [*objects(*FILES)]
    there = {(one["kind"], one["metadata"]["name"]) for one in everything}
    wanted = set()
    for pod in pods(everything):
        for volume in pod["volumes"]:
            wanted |= {("ConfigMap", volume["configMap"]["name"])} if "configMap" in volume else set()
            wanted |= {("Secret", volume["secret"]["secretName"])} if "secret" in volume else set()
            claim = volume.get("persistentVolumeClaim")
            wanted |= {("PersistentVolumeClaim", claim["claimName"])} if claim else set()
        wanted |= {("Secret", origin["secretRef"]["name"]) for origin in pod["containers"][0]["envFrom"]}
        wanted |= {("ServiceAccount", pod["serviceAccountName"])} if "serviceAccountName" in pod else set()
    service, workload = (next(one for one in everything if one["kind"] == kind) for kind in ("Service", "StatefulSet"))

    assert wanted - there == set()
    assert service["metadata"]["name"] == workload["spec"]["serviceName"]
    assert service["spec"]["selector"] == workload["spec"]["template"]["metadata"]["labels"]


def test_kustomization_names_files_that_exist() -> None:
    """``kubectl apply -k`` finds its files."""
    (document,) = objects("kustomization.yaml")

    assert set(document["resources"]) < set(FILES)


def test_the_number_of_shards_is_that_of_replicas() -> None:
    """With another number work would be left out."""
    (workload,) = (one for one in objects("statefulset.yaml") if one["kind"] == "StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]

    assert f"--shard=auto/{workload['spec']['replicas']}" in container["args"]


@pytest.mark.parametrize(("name", "schedule"), [("dregsy-config", Every(3600)), ("dregsy-config-once", Once())])
def test_the_config_is_right(tmp_path: Path, name: str, schedule: Every | Once) -> None:
    """Dregsy takes the file with the login of the Secret, strictly; the daemon's goes on, the job's ends."""
    maps = {one["metadata"]["name"]: one["data"]["config.yaml"] for one in objects("config.yaml")}
    logins = next(objects("secrets.yaml"))["stringData"]
    (tmp_path / "config.yaml").write_text(maps[name])

    loaded = load(str(tmp_path / "config.yaml"), environ=logins, strict=True)

    assert [task.schedule for task in loaded.plan.tasks] == [schedule]
    assert loaded.plan.state == State("/state")
    assert "user" in repr(loaded.plan.tasks[0].targets[0].credentials)


@pytest.mark.parametrize("name", ["statefulset.yaml", "cronjob.yaml"])
def test_the_command_line_is_right(tmp_path: Path, name: str) -> None:
    """Dregsy takes the arguments of the pods."""
    (pod,) = pods(objects(name))
    program, config, *flags = pod["containers"][0]["args"]
    dregsy = Dregsy(tmp_path, {"HOSTNAME": "dregsy-2"})

    done = dregsy.run(f"-config={dregsy.write('tasks: []')}", *[flag for flag in flags if "listen" not in flag])

    assert (program, config) == ("dregsy", "-config=/config/config.yaml")
    assert (done.code, done.err) == (0, "")
