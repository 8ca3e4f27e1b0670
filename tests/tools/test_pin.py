"""``make pin``: the base by its digest, Debian by a day."""

import re
import shutil
import subprocess
from pathlib import Path

from dregsy.embedded import images
from dregsy.model.platform import Platform
from tests.testbed.certificates import Authority
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

ROOT = Path(__file__).resolve().parents[2]


def pinned(base: str, file: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Pin a Dockerfile to what a base is now."""
    return subprocess.run(
        ["sh", ROOT / "tools/pin.sh", base, file],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(file.parent), **environ},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_pin(tmp_path: Path, authority: Authority, repo: str) -> None:
    """The digest is that of the whole index, nothing else of the Dockerfile changes, and it can be pinned again."""
    file = tmp_path / "Dockerfile"
    shutil.copy(ROOT / "Dockerfile", file)
    both = images.index(*(images.image(repo, platform=Platform("linux", one)) for one in ("amd64", "arm64")))
    server = authority.issue(f"pin-{tmp_path.name}")
    with DockerRegistry(tmp_path / "plain") as registry:
        digest = push(registry.host, repo, both, "3.11")
    with DockerRegistry(tmp_path / "plain", tls=server) as registry:
        done = [pinned(f"{registry.host}/{repo}:3.11", file, SSL_CERT_FILE=str(authority.ca_file)) for _ in range(2)]
    before, after = ((path / "Dockerfile").read_text().splitlines() for path in (ROOT, tmp_path))
    pins = [line for line in after if line.startswith(("ARG BASE=", "ARG SNAPSHOT="))]

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2
    assert pins[0] == f"ARG BASE={registry.host}/{repo}@{digest}"
    assert re.fullmatch(r"ARG SNAPSHOT=[0-9]{8}T000000Z", pins[1])
    assert [new for old, new in zip(before, after, strict=True) if old != new and new not in pins] == []


def test_nothing_changes_without_an_answer(tmp_path: Path) -> None:
    """A base that cannot be asked for leaves the Dockerfile as it is, and says why."""
    file = tmp_path / "Dockerfile"
    shutil.copy(ROOT / "Dockerfile", file)
    done = pinned("127.0.0.1:1/none:1", file)

    assert done.returncode != 0
    assert "connection refused" in done.stderr
    assert file.read_text() == (ROOT / "Dockerfile").read_text()
