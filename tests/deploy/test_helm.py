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
CONFIG: dict[str, Any] = {
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
ONCE = {**CONFIG, "tasks": [{key: value for key, value in CONFIG["tasks"][0].items() if key != "interval"}]}
LEAST: dict[str, Any] = {"config": CONFIG}
EVERYTHING: dict[str, Any] = {
    "image": {"digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "config": CONFIG,
    "logins": {"TARGET_AUTH": "eyJ1c2VybmFtZSI6InVzZXIiLCJwYXNzd29yZCI6InNlY3JldCJ9"},
    "dockerConfigSecret": "docker-logins",
    "certs": [{"registry": "registry.example.com", "secret": "its-certs"}],
    "replicas": 3,
    "persistence": {"storageClass": "fast"},
    "cron": {"timeZone": "Europe/Berlin", "schedule": "0 4 * * 1-5"},
    "extraArgs": ["--log-level=debug"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
    "extraVolumes": [{"name": "more", "secret": {"secretName": "mail"}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more", "readOnly": True}],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/mirror"}},
    "podLabels": {"team": "tools"},
    "podAnnotations": {"note": "it's"},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}
KINDS = ("statefulset", "cronjob")


def meaning(key: str, *values: Any) -> dict[str, Any]:
    """A config as a mapping, with a list in the mapping of its task."""
    return {"tasks": [{"name": "tools", "mappings": [{"from": "a", key: [*values]}]}]}


def of_kind(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """Values for this kind: what is run once for all has no interval."""
    return {**values, "kind": kind, "config": ONCE if kind == "cronjob" else CONFIG}


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the objects that the chart makes of values, by kind."""
    with Chart.load(str(FOLDER)) as chart:
        texts = chart.render(values=values, name="mirror", namespace="tools")
    documents = [one for name, text in texts.items() if name.endswith(".yaml") for one in yaml.safe_load_all(text)]
    found = {one["kind"]: one for one in documents if one}
    assert len(found) == sum(map(bool, documents))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [LEAST, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("version", ["1.25", "1.33"])
def test_each_object_is_valid(kind: str, values: dict[str, Any], version: str) -> None:
    """By Kubernetes' own schemas, strictly; the pods have no rights and time to end."""
    found = rendered(of_kind(kind, values))

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
    found = rendered(of_kind(kind, EVERYTHING))
    (pod,) = pods(found.values())
    args = pod["containers"][0]["args"]
    common = {"ConfigMap", "Secret", "ServiceAccount"}

    own = (
        {"StatefulSet", "Service", "ServiceMonitor"} if kind == "statefulset" else {"CronJob", "PersistentVolumeClaim"}
    )
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

    certs = mounts["/etc/dregsy/certs.d/registry.example.com"]
    assert volumes[certs]["secret"]["secretName"] == "its-certs"
    logins = volumes[mounts["/home/dregsy/.docker"]]["secret"]
    assert (logins["secretName"], logins["items"][0]["path"]) == ("docker-logins", "config.json")
    assert container["image"] == f"registry.example.com/dregsy@sha256:{'a' * 64}"
    assert container["envFrom"] == [{"secretRef": {"name": found["Secret"]["metadata"]["name"]}}]
    account = found["ServiceAccount"]["metadata"]
    assert account["annotations"] == EVERYTHING["serviceAccount"]["annotations"]
    assert pod["serviceAccountName"] == account["name"]
    labels = found["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "tools"
    assert volumes[mounts["/more"]]["secret"]["secretName"] == "mail"
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
    found = rendered(of_kind(kind, EVERYTHING))
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
        ({"fullnameOverride": "A_B"}, "fullnameOverride"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels"),
        ({"extraVolumes": [{"secret": {}}]}, "extraVolumes"),
        ({"config": None}, "config is empty"),
        ({"config": "tasks: ["}, "config is no YAML"),
        ({"config": {"tasks": []}}, "config has no tasks"),
        ({"config": "state: /state"}, "config has no tasks"),
        ({"config": CONFIG, "kind": "cronjob"}, "task tools has an interval"),
        ({"config": yaml.safe_dump(CONFIG), "kind": "cronjob"}, "task tools has an interval"),
        ({"config": ONCE}, "no task has an interval or a schedule"),
        ({"config": yaml.safe_dump(ONCE)}, "no task has an interval or a schedule"),
        ({"config": {"tasks": [{"name": "tools", "interval": 0}]}}, "no task has an interval or a schedule"),
        ({"host": "::"}, "host"),
        ({"replicas": 2, "persistence": {"existingClaim": "mine"}}, "existingClaim"),
        ({"config": {"docker": {"api-version": 1.4}, **CONFIG}}, "api-version"),
        *(({"config": meaning(key, value)}, key) for key in ("tags", "exclude") for value in (1.3, True)),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], word: str) -> None:
    """The schema knows all keys, and the message names the one that is wrong."""
    with pytest.raises(HelmError, match=word):
        rendered({**LEAST, **values})


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
    values["config"] = {**CONFIG, "notify": "NOTIFY"}
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
    (told,) = load("-", environ=EVERYTHING["logins"], strict=True, stdin=StringIO(text)).notify
    assert [str(one) for one in told.on] == ["change"]


def test_a_text_gets_through_as_it_is() -> None:
    """Nothing reads and writes it in between: what looks like a number stays what it is, and all blanks are kept."""
    tags = "      - from: a\n        tags: [1.30, 012, on, 1e3]\n"
    text = f"  # ours\ntasks:\n  - name: on\n    interval: ${{EVERY}}\n    mappings:\n{tags}"

    for kind in KINDS:
        assert rendered({"kind": kind, "config": text})["ConfigMap"]["data"]["config.yaml"] == text


@pytest.mark.parametrize("when", [{"interval": "${N:-60}"}, {"interval": "60"}, {"schedule": "${WHEN}"}])
def test_one_task_that_repeats_will_do(when: dict[str, str]) -> None:
    """Others may run once; what is yet to be put in counts as an interval."""
    (once,) = ONCE["tasks"]

    assert "StatefulSet" in rendered({"config": {"tasks": [once, {**once, "name": "more", **when}]}})


@pytest.mark.parametrize(("host", "listen"), [(None, "0.0.0.0:8080"), ("[::]", "[::]:8080")])
def test_where_it_listens(host: str | None, listen: str) -> None:
    """At all addresses of the pod, as long as nothing else is said: such as those of IPv6."""
    (container,) = template({**LEAST, **({"host": host} if host else {})})["spec"]["containers"]

    assert f"--listen={listen}" in container["args"]


@pytest.mark.parametrize("watch", [False, True])
def test_watch_is_what_it_is_set_to(watch: bool) -> None:
    """A mapping that says so is not watched."""
    text = rendered({"config": {**CONFIG, "watch": watch}})["ConfigMap"]["data"]["config.yaml"]

    assert yaml.safe_load(text)["watch"] is watch


def template(values: dict[str, Any]) -> Any:
    """Return the pod template of a StatefulSet."""
    return rendered(values)["StatefulSet"]["spec"]["template"]


def test_pods_are_made_anew_for_what_they_read_once() -> None:
    """That is logins, and a config that is not watched; no login can be read in it."""
    still, watched = {"config": yaml.safe_dump(CONFIG)}, {"config": yaml.safe_dump({**CONFIG, "watch": True})}
    more = "\n# more\n"

    assert template(watched) == template({"config": watched["config"] + more})
    assert template(still) != template({"config": still["config"] + more})
    assert template({**watched, "logins": {"A": "x"}}) != template({**watched, "logins": {"A": "y"}})
    assert template({**watched, "logins": {"A": "x"}}) == template({**watched, "logins": {"A": "x"}})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("persistence", "volume"),
    [
        ({"enabled": False}, {"emptyDir": {}}),
        ({"existingClaim": "123"}, {"persistentVolumeClaim": {"claimName": "123"}}),
    ],
)
def test_where_the_journal_is(kind: str, persistence: dict[str, Any], volume: dict[str, Any]) -> None:
    """It lasts as long as the pod, or is on a volume that is there already."""
    found = rendered({**of_kind(kind, LEAST), "persistence": persistence})
    (pod,) = pods(found.values())

    assert [one for one in pod["volumes"] if one["name"] == "state"] == [{"name": "state", **volume}]
    assert "PersistentVolumeClaim" not in found
    assert "volumeClaimTemplates" not in found.get("StatefulSet", {"spec": {}})["spec"]


def test_runs_at_night_share_a_volume() -> None:
    """The chart makes one for the CronJob, as its pods use it."""
    found = rendered(of_kind("cronjob", LEAST))
    (pod,) = pods(found.values())

    (name,) = [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if one["name"] == "state"]
    assert found["PersistentVolumeClaim"]["metadata"]["name"] == name


def test_numbers_and_names_stay_what_they_are() -> None:
    """A name of digits is a text to Kubernetes, and a large number has no exponent."""
    values = {
        "existingLoginsSecret": "123",
        "dockerConfigSecret": "123",
        "certs": [{"registry": "a", "secret": "123"}],
        "cron": {"deadlineSeconds": 1209600},
        "kind": "cronjob",
    }
    found = rendered({**values, "existingConfigSecret": "123", "serviceAccount": {"name": "123"}})

    validate(found["CronJob"], "1.33", strict=True)
    assert found["CronJob"]["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 1209600
