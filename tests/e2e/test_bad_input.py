"""What a user gets wrong: one clear sentence with what to do, the right exit code, no traceback, nothing written."""

from pathlib import Path

import pytest

from dregsy.embedded import images
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

BOMB = (
    "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "tasks: *i\n"
)
FILES = {
    "not yaml": (b"tasks:\n- name: [unclosed\n", "sync.yaml:"),
    "tabs": (b"tasks:\n\t- name: x\n", "sync.yaml:2"),
    "bomb": (BOMB.encode(), "sync.yaml"),
    "binary": (bytes(range(256)), "sync.yaml"),
    "not utf-8": (b"tasks: [\xff\xfe]\n", "sync.yaml"),
    "a list": (b"- name: x\n", "sync.yaml:1"),
    "a text": (b"hello\n", "sync.yaml:1"),
    "wrong types": (b"tasks:\n- name: x\n  interval: soon\n  source: 5\n", "sync.yaml:3"),
    "no such relay": (b"relay: splunge\n", "invalid relay type"),
}


def complained(done: Done, *texts: str) -> None:
    """Assert a failure that was said in words."""
    assert done.code == 1
    for text in texts:
        assert text in done.said
    assert "Traceback" not in done.said


@pytest.fixture
def dregsy(tmp_path: Path) -> Dregsy:
    """Return the command with an empty home."""
    return Dregsy(tmp_path / "user")


@pytest.mark.parametrize("case", FILES)
def test_unusable_files(dregsy: Dregsy, case: str) -> None:
    """A file that is no config is refused with its name and, where there is one, the line."""
    content, text = FILES[case]
    (dregsy.folder / "sync.yaml").write_bytes(content)

    complained(dregsy.run("-config", "sync.yaml"), text)
    complained(dregsy.run("check", "-config", "sync.yaml"), text)


def test_missing_file_directory_and_empty_file(dregsy: Dregsy) -> None:
    """A file that is not there and a directory are refused; an empty file is a valid config without tasks."""
    (dregsy.folder / "folder").mkdir()

    complained(dregsy.run("-config", "nothere.yaml"), "nothere.yaml")
    complained(dregsy.run("-config", "folder"), "folder")
    assert dregsy.run("-config", dregsy.write("")).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-config",),
        ("-config", ""),
        ("--no-such-flag",),
        ("-run", "x"),
        ("nonsense",),
        ("run", "-run=(", "-config=f"),
    ],
)
def test_wrong_arguments(dregsy: Dregsy, arguments: tuple[str, ...]) -> None:
    """Wrong flags are told with exit code 1."""
    dregsy.write("", "f")

    done = dregsy.run(*arguments)

    complained(done)
    assert (done.out, [file.name for file in dregsy.folder.iterdir()]) == ("", ["f"])


def test_all_problems_at_once_without_secrets(dregsy: Dregsy) -> None:
    """Every problem of a file is listed with its line; no value of ``auth`` is repeated."""
    config = mirror("a.example.com", "b.example.com", {"from": "x", "tags": ["semver: ^1"]}, interval=5, intervall=3)
    config["tasks"][0]["source"]["auth"] = "c2VjcmV0LXZhbHVl!!"

    done = dregsy.run("-config", dregsy.config(config))

    complained(done, "minimum task interval is 30 seconds", "'tags' uses invalid format", "invalid Auth", "'interval'?")
    assert "c2VjcmV0LXZhbHVl" not in done.said


def test_registries_that_are_not_there(dregsy: Dregsy, registry_a: DockerRegistry, repo: str, skopeo: Skopeo) -> None:
    """A name that does not resolve and a port where nobody listens fail with that reason; others go on."""
    push(registry_a.host, repo, images.image(repo), "v1")
    closed = "127.0.0.1:1"
    config = mirror(registry_a.host, "", {"from": repo})
    del config["tasks"][0]["target"]
    config["tasks"][0]["targets"] = [{"registry": host} for host in (closed, "nowhere.invalid", registry_a.host)]
    config["tasks"][0]["mappings"][0]["to"] = f"{repo}/copy"
    config["retries"] = 0

    done = dregsy.run("-config", dregsy.config(config))

    complained(done, f"cannot connect to {closed}", "the name nowhere.invalid does not resolve", "1 copied")
    assert skopeo.tags(f"{registry_a.host}/{repo}/copy") == ["v1"]


def test_repository_that_is_not_there(dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry) -> None:
    """A repository without which the task makes no sense is named with the line of its mapping."""
    done = dregsy.run("-config", dregsy.config(mirror(registry_a.host, registry_b.host, {"from": "no/such"})))

    complained(done, f"{registry_a.host}/no/such", "sync.yaml:")
    assert registry_b.blobs("no/such") == set()


def test_a_web_server_is_no_registry(dregsy: Dregsy, registry_a: DockerRegistry, repo: str) -> None:
    """A source that speaks http but no registry API, by answering 404 everywhere, is an error, not an empty list."""
    with RecordingProxy(registry_a.host, Fault(path="", times=-1, status=404, body=b"<html>no</html>")) as web:
        done = dregsy.run("-config", dregsy.config(mirror(web.host, registry_a.host, {"from": repo})))

        assert web.count("GET", f"/v2/{repo}/tags/list") == 1

    complained(done, f"{web.host}/v2/{repo}/tags/list answered 404")


def test_closed_streams(dregsy: Dregsy) -> None:
    """A command whose output, or input, was closed by the shell does its work all the same."""
    import subprocess

    dregsy.write("")
    for redirection in (">&-", "2>&-", "<&-", ">&- 2>&-"):
        command = f"exec {dregsy.program} -config sync.yaml {redirection}"
        done = subprocess.run(
            ["sh", "-c", command], env=dregsy.environ, cwd=dregsy.folder, capture_output=True, check=False
        )

        assert (redirection, done.returncode) == (redirection, 0)
        assert b"Traceback" not in done.stderr
