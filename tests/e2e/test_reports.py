"""What a run leaves behind, as the real command writes it: reports, summaries, and configs that replay what failed."""

import base64
import json
import signal
import stat
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from dregsy.embedded import images
from tests.testbed.command import Dregsy, mirror
from tests.testbed.daemon import Daemon, until
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

SECRET = "s3cret-word"


@pytest.fixture
def half(registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> dict[str, Any]:
    """Return a config of which one image can be copied, and one cannot."""
    push(registry_a.host, repo, images.image(repo), "v1")
    return mirror(registry_a.host, registry_b.host, {"from": repo, "tags": ["v1", "none"]})


def test_report_as_data(tmp_path: Path, half: dict[str, Any]) -> None:
    """JSON and YAML hold the same: each image with source, target, digest, reason, bytes, time and failure."""
    dregsy = Dregsy(tmp_path)
    config = dregsy.config(half)

    codes = [dregsy.run("-config", config, "-report", name).code for name in ("r.json", "r.yml")]

    first, second = json.loads((tmp_path / "r.json").read_text()), yaml.safe_load((tmp_path / "r.yml").read_text())
    assert codes == [1, 1]
    assert [(one["ok"], one["exit_code"]) for one in (first, second)] == [(False, 1)] * 2
    copied, failed = sorted(first["tasks"][0]["images"], key=lambda one: str(one["status"]))
    assert set(copied) == {
        *("task", "source", "target", "status", "reason", "digest", "seconds", "where"),
        *("bytes_read", "bytes_written", "blobs_moved", "blobs_mounted", "blobs_skipped"),
    }
    assert (copied["status"], copied["reason"], copied["where"]) == ("copied", "missing", "sync.yaml:8")
    assert copied["bytes_written"] > 0
    assert (failed["status"], failed["kind"], set(failed) & {"error", "hint"}) == (
        *("failed", "not-found"),
        {"error", "hint"},
    )
    again = {one["status"]: one for one in second["tasks"][0]["images"]}
    assert again["current"]["digest"] == copied["digest"]
    assert again["failed"]["error"] == failed["error"]


def test_report_for_ci_servers(tmp_path: Path, half: dict[str, Any]) -> None:
    """JUnit's XML has a suite for the task, a test for each image, and says why one failed."""
    dregsy = Dregsy(tmp_path)

    dregsy.run("-config", dregsy.config(half), "-report", "r.xml")

    (suite,) = ET.fromstring((tmp_path / "r.xml").read_text())  # noqa: S314 - we wrote it
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "mirror",
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "not-found"


def test_report_for_people(tmp_path: Path, half: dict[str, Any]) -> None:
    """Markdown has the counts, then what failed, then what was copied."""
    dregsy = Dregsy(tmp_path)

    dregsy.run("-config", dregsy.config(half), "-report", "r.md")

    text = (tmp_path / "r.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert heads == ["## dregsy: not everything is in place", "### Failed", "### Copied"]
    assert "| mirror | 1 | 0 | 1 | 0 |" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-report", "report.txt"], "--report 'report.txt' has no suffix that tells its format"),
        (["-report", "json"], "--report 'json' has no suffix"),
        (["-report", "no/such/r.json"], "--report 'no/such/r.json' cannot be written: no such file or directory"),
        (["-report", "folder.json"], "--report 'folder.json' is no regular file"),
        (["-failed", "no/such/f.yaml"], "--failed 'no/such/f.yaml' cannot be written: no such file or directory"),
        (["-failed", "sync.yaml"], "--report or --failed names the config itself"),
        (["-report", "./sync.yaml"], "--report or --failed names the config itself"),
        (["-report", "r.yaml", "-failed", "r.yaml"], "--report or --failed names one file for two purposes"),
        (["-summary"], "--summary needs the variable GITHUB_STEP_SUMMARY, which is not set"),
    ],
)
def test_what_cannot_be_written_is_told_before(
    tmp_path: Path, registry_a: DockerRegistry, repo: str, arguments: list[str], says: str
) -> None:
    """A file that cannot be written, or means nothing, is an error before anything is copied."""
    push(registry_a.host, repo, images.image(repo), "v1")
    (tmp_path / "folder.json").mkdir()
    dregsy = Dregsy(tmp_path)
    with RecordingProxy(registry_a.host) as registry:
        config = dregsy.config(mirror(registry.host, registry.host, {"from": repo, "to": f"{repo}/copy"}))
        done = dregsy.run("-config", config, *arguments)

        asked = list(registry.seen)
    assert (done.code, done.out, asked) == (1, "", [])
    assert says in done.err
    assert " — " in done.err


def asked_for(registry: RecordingProxy) -> set[str]:
    """Return the manifests that a registry was asked for by tag."""
    paths = [one.path for one in list(registry.seen) if "/manifests/" in one.path]
    return {path.removeprefix("/v2/") for path in paths if "/sha256:" not in path}


def test_failed_images_are_replayed(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """The file that is left copies what failed, and asks for nothing else; then nothing is left to do."""
    push(registry_a.host, repo, images.image(repo), "v1", "v2", "1.30")
    push(registry_a.host, f"{repo}/other", images.image(f"{repo}/other"), "v1")
    dregsy = Dregsy(tmp_path)
    with RecordingProxy(registry_a.host) as source:
        mappings = (
            {"from": f"regex:{repo}.*", "to": f"regex:^/{repo},/{repo}/copy", "tags": ["regex: v.*", "keep: latest 2"]},
            {"from": repo, "to": f"{repo}/fixed", "tags": ["1.30", "gone"]},
        )
        config = {**mirror(source.host, "${TARGET}", *mappings), "lister": {"maxItems": -1}}
        with RecordingProxy(registry_b.host, *broken(repo)) as target:
            dregsy.environ["TARGET"] = target.host
            first = dregsy.run("-config", dregsy.config({"retries": 0, **config}), "-failed", "failed.yaml")
        source.seen.clear()
        with RecordingProxy(registry_b.host) as target:
            dregsy.environ["TARGET"] = target.host
            second = dregsy.run("-config", "failed.yaml", "-failed", "failed-2.yaml")
            asked = asked_for(source)
            third = dregsy.run("-config", dregsy.config({"retries": 0, **config}), "-failed", "failed-3.yaml")

    written = (tmp_path / "failed.yaml").read_text()
    assert (first.code, second.code, third.code) == (1, 1, 1)
    assert asked == {f"{repo}/manifests/v2", f"{repo}/manifests/gone"}
    assert "registry: ${TARGET}" in written
    assert dregsy.environ["TARGET"] not in written
    assert "1 copied" in second.out
    assert "0 copied, 4 up to date, 1 failed" in third.out
    assert [one["mappings"] for one in yaml.safe_load((tmp_path / "failed-2.yaml").read_text())["tasks"]] == [
        [{"from": repo, "to": f"{repo}/fixed", "tags": ["gone"]}]
    ]


def broken(repo: str) -> list[Fault]:
    """Let one tag of one repository not be written."""
    return [Fault(path=f"/{repo}/copy/manifests/v2", method="PUT", status=403, times=-1)]


def test_nothing_failed(tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> None:
    """The file says so, and running it is no error; what an earlier run left in it is gone."""
    push(registry_a.host, repo, images.image(repo), "v1")
    dregsy = Dregsy(tmp_path)
    dregsy.write("tasks: 7\n", "failed.yaml")

    first = dregsy.run(
        "-config", dregsy.config(mirror(registry_a.host, registry_b.host, {"from": repo})), "-failed=failed.yaml"
    )
    second = dregsy.run("-config", "failed.yaml")

    assert (first.code, second.code) == (0, 0)
    assert "# Nothing did." in (tmp_path / "failed.yaml").read_text()
    assert "there are no tasks" in second.out


def test_secrets_stay_where_they_are(tmp_path: Path, repo: str) -> None:
    """Logins are in the replay as they were written, in a file for its owner alone, and in no report at all."""
    login = base64.b64encode(f"alice:{SECRET}".encode()).decode()
    dregsy = Dregsy(
        tmp_path, {"LOGIN": login, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "LOG_LEVEL": "trace"}
    )
    with DockerRegistry(tmp_path / "registry", users={"alice": SECRET}) as registry:
        config = mirror(registry.host, registry.host, {"from": repo, "to": f"{repo}/x", "tags": ["none"]})
        config["tasks"][0]["source"]["auth"] = "${LOGIN}"
        config["tasks"][0]["target"]["auth"] = login
        text = dregsy.config(config)
        for name in ("r.json", "r.yaml", "r.xml", "r.md"):
            done = dregsy.run("-config", text, "-report", name, "-failed", "failed.yaml", "-summary")
            assert done.code == 1
            assert (SECRET in done.said, login in done.said) == (False, False)

        failed = tmp_path / "failed.yaml"
        assert stat.S_IMODE(failed.stat().st_mode) == 0o600
        assert yaml.safe_load(failed.read_text())["tasks"][0]["source"] == {
            "registry": registry.host,
            "auth": "${LOGIN}",
        }
        assert dregsy.run("-config", "failed.yaml").out.count("MANIFEST_UNKNOWN") == done.out.count("MANIFEST_UNKNOWN")
    for name in ("r.json", "r.yaml", "r.xml", "r.md", "summary.md"):
        text = (tmp_path / name).read_text()
        assert (SECRET in text, login in text, "none" in text) == (False, False, True)


def test_from_standard_input(tmp_path: Path, half: dict[str, Any]) -> None:
    """A config that comes through a pipe is replayed like any other."""
    dregsy = Dregsy(tmp_path)

    done = dregsy.run("-config=-", "-failed", "failed.yaml", stdin=yaml.safe_dump(half))

    (task,) = yaml.safe_load((tmp_path / "failed.yaml").read_text())["tasks"]
    assert done.code == 1
    assert [one["tags"] for one in task["mappings"]] == [["none"]]


def test_summary_in_github_actions(tmp_path: Path, half: dict[str, Any]) -> None:
    """Tables are appended to the summary of the step."""
    dregsy = Dregsy(tmp_path, {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")})
    (tmp_path / "summary.md").write_text("# before\n")

    assert dregsy.run("-config", dregsy.config(half), "-summary").code == 1

    assert [line for line in (tmp_path / "summary.md").read_text().splitlines() if line.startswith("#")] == [
        *("# before", "## dregsy: not everything is in place", "### Failed", "### Copied"),
    ]


def test_a_daemon_keeps_its_report(
    daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """With periodic tasks the report and the replay are there after each run, also of a config read again."""
    push(registry_a.host, repo, images.image(repo), "v1")
    folder = daemon.dregsy.folder
    config = mirror(registry_a.host, registry_b.host, {"from": repo, "tags": ["v1", "none"]}, interval=3600)
    daemon.start("-config", daemon.dregsy.config(config), "-report", "r.json", "-failed", "f.yaml")
    daemon.said("finished")
    until((folder / "f.yaml").exists)
    first = json.loads((folder / "r.json").read_text())
    replay = yaml.safe_load((folder / "f.yaml").read_text())["tasks"]

    config["tasks"][0]["mappings"][0]["tags"] = ["v1"]
    daemon.dregsy.config(config)
    daemon.signal(signal.SIGHUP)
    daemon.said("finished", 2)
    until(lambda: "Nothing did" in (folder / "f.yaml").read_text())
    second = json.loads((folder / "r.json").read_text())

    assert [(one["ok"], one["exit_code"], one["tasks"][0]["failed"]) for one in (first, second)] == [
        (False, None, 1),
        (True, None, 0),
    ]
    assert ("interval" in replay[0], replay[0]["mappings"][0]["tags"]) == (False, ["none"])
    assert daemon.stop() == 0
    assert json.loads((folder / "r.json").read_text())["exit_code"] == 0


def test_a_replay_overwrites_nothing(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """An image that was refused, because another one has its tag, does not get there by a replay either."""
    push(registry_a.host, f"{repo}/good", images.image("good"), "v1")
    push(registry_a.host, f"{repo}/evil", images.image("evil"), "v1")
    rules = [{"from": f"{repo}/{name}", "to": repo, "tags": ["v1"]} for name in ("good", "evil")]
    dregsy = Dregsy(tmp_path)

    first = dregsy.run("-config", dregsy.config(mirror(registry_a.host, registry_b.host, *rules)), "-failed", "f.yaml")
    again = dregsy.run("-config", "f.yaml")

    assert (first.code, again.code) == (1, 0)
    assert Skopeo(tmp_path / "skopeo").inspect_raw(f"{registry_b.host}/{repo}:v1") == images.image("good").top.raw
