"""The chart of deploy/helm, rendered by Helm itself."""

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from helm_python import Chart, HelmError
from kubernetes_validate import validate

from dregsy import __version__
from dregsy.config.load import load
from tests.deploy.pods import careful, pods

FOLDER = Path(__file__).resolve().parents[2] / "deploy/helm/dregsy"
CONFIG = {
    "state": "/state",
    "tasks": [
        {
            "name": "tools",
            "interval": 3600,
            "source": {"registry": "docker.io"},
            "target": {"registry": "registry.example.com", "auth": "${TARGET_AUTH}"},
            "mappings": [{"from": "regex:team/(.*)", "to": "regex:^/,/copies/"}],
        }
    ],
}
EVERYTHING: dict[str, Any] = {
    "image": {"digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "config": CONFIG,
    "logins": {"TARGET_AUTH": "eyJ1c2VybmFtZSI6InVzZXIiLCJwYXNzd29yZCI6InNlY3JldCJ9"},
    "dockerConfigSecret": "docker-logins",
    "certs": [{"registry": "registry.example.com:5000", "secret": "its-certs"}],
    "replicas": 3,
    "persistence": {"storageClass": "fast"},
    "cron": {"timeZone": "Europe/Berlin", "schedule": "0 4 * * 1-5"},
    "extraArgs": ["--log-level=debug"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/mirror"}},
    "podLabels": {"azure.workload.identity/use": "true"},
    "podAnnotations": {"note": "it's"},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}
KINDS = ("statefulset", "cronjob")


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the objects that the chart makes of values, by kind."""
    with Chart.load(str(FOLDER)) as chart:
        texts = chart.render(values=values, name="mirror", namespace="tools")
    documents = [one for name, text in texts.items() if name.endswith(".yaml") for one in yaml.safe_load_all(text)]
    found = {one["kind"]: one for one in documents if one}
    assert len(found) == sum(map(bool, documents))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("version", ["1.25", "1.33"])
def test_each_object_is_valid(kind: str, values: dict[str, Any], version: str) -> None:
    """By Kubernetes' own schemas, strictly; the pods have no rights and time to end."""
    found = rendered({**values, "kind": kind})

    for name, document in found.items():
        if name != "ServiceMonitor":  # the operator's, not Kubernetes'
            validate(document, version, strict=True)
    assert [careful(pod) for pod in pods(found.values())] == [[]]


def test_helm_finds_nothing_wrong() -> None:
    """``helm lint`` has no errors and no warnings, and the version is that of the program."""
    told = helm_python.lint(str(FOLDER))
    about = yaml.safe_load((FOLDER / "Chart.yaml").read_text())

    assert [one["error"] for one in told["messages"] if one["severity"] > 1] == told["errors"] == []
    assert about["appVersion"] == __version__


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_makes_what_it_needs(kind: str) -> None:
    """A daemon has a service, a monitor and the shards; runs at night have none of these."""
    found = rendered({**EVERYTHING, "kind": kind})
    (pod,) = pods(found.values())
    args = pod["containers"][0]["args"]
    common = {"ConfigMap", "Secret", "ServiceAccount"}

    own = {"StatefulSet", "Service", "ServiceMonitor"} if kind == "statefulset" else {"CronJob"}
    assert set(found) == common | own
    assert ("--shard=auto/3" in args) == (kind == "statefulset")
    assert args[-1] == "--log-level=debug"


def test_values_get_where_they_belong() -> None:
    """Certificates, logins, the cloud's identity and the image's digest."""
    found = rendered(EVERYTHING)
    (pod,) = pods(found.values())
    (container,) = pod["containers"]
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}

    certs = mounts["/etc/dregsy/certs.d/registry.example.com:5000"]
    assert volumes[certs]["secret"]["secretName"] == "its-certs"
    logins = volumes[mounts["/home/dregsy/.docker"]]["secret"]
    assert (logins["secretName"], logins["items"][0]["path"]) == ("docker-logins", "config.json")
    assert container["image"] == f"registry.example.com/dregsy@sha256:{'a' * 64}"
    assert container["envFrom"] == [{"secretRef": {"name": found["Secret"]["metadata"]["name"]}}]
    account = found["ServiceAccount"]["metadata"]
    assert account["annotations"] == EVERYTHING["serviceAccount"]["annotations"]
    assert pod["serviceAccountName"] == account["name"]
    labels = found["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert labels["azure.workload.identity/use"] == "true"
    assert found["Service"]["spec"]["selector"].items() <= labels.items()
    assert (
        found["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
        <= found["Service"]["metadata"]["labels"].items()
    )


def test_what_exists_is_used() -> None:
    """Config and logins of Secrets that are there already leave nothing of both to be made."""
    found = rendered(
        {"existingConfigSecret": "mine", "existingLoginsSecret": "ours", "serviceAccount": {"create": False}}
    )
    (pod,) = pods(found.values())

    assert set(found) == {"StatefulSet", "Service"}
    assert pod["volumes"][0]["secret"]["secretName"] == "mine"
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "ours"}}]
    assert pod["serviceAccountName"] == "default"


@pytest.mark.parametrize(("kind", "watch"), [("statefulset", True), ("cronjob", False)])
def test_the_config_is_dregsys(tmp_path: Path, kind: str, watch: bool) -> None:
    """Dregsy takes the file as the chart writes it, expressions included; a daemon watches it."""
    found = rendered({**EVERYTHING, "kind": kind})
    (tmp_path / "config.yaml").write_text(found["ConfigMap"]["data"]["config.yaml"])

    loaded = load(str(tmp_path / "config.yaml"), environ=found["Secret"]["stringData"], strict=True)

    (task,) = loaded.plan.tasks
    assert loaded.plan.watch is watch
    assert task.rules[0].rewrite.apply("team/a") == "copies/team/a"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"kind": "deployment"}, "kind"),
        ({"replica": 3}, "replica"),
        ({"replicas": 0}, "replicas"),
        ({"image": {"digest": "sha256:abc"}}, "digest"),
        ({"logins": {"no-variable": "x"}}, "no-variable"),
        ({"certs": [{"registry": "a.example"}]}, "secret"),
        ({"grace": "30s"}, "grace"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], word: str) -> None:
    """The schema knows all keys, and the message names the one that is wrong."""
    with pytest.raises(HelmError, match=word):
        rendered(values)


def test_the_schema_knows_all_values() -> None:
    """What stands in values.yaml is described, and the other way round."""
    values = yaml.safe_load((FOLDER / "values.yaml").read_text())
    schema = json.loads((FOLDER / "values.schema.json").read_text())

    assert set(schema["properties"]) - {"global"} == set(values)


def test_notifications_in_values(tmp_path: Path) -> None:
    """Who is told, and of what, gets through Helm, which reads the key ``on`` as a boolean."""
    folder = tmp_path / "chart"
    shutil.copytree(FOLDER, folder)
    values = yaml.safe_load((folder / "values.yaml").read_text())
    values["config"]["notify"] = "NOTIFY"
    item = "\n  - slack: https://hooks.test/x\n    on: [change]"
    (folder / "values.yaml").write_text(yaml.safe_dump(values).replace("NOTIFY", item))

    with Chart.load(str(folder)) as chart:
        texts = chart.render(values={}, name="mirror", namespace="tools")

    (text,) = [
        one["data"]["config.yaml"]
        for name, text in texts.items()
        if name.endswith(".yaml")
        for one in yaml.safe_load_all(text)
        if one and one["kind"] == "ConfigMap"
    ]
    (told,) = load("-", environ={}, strict=True, stdin=StringIO(text)).notify
    assert [str(one) for one in told.on] == ["change"]
