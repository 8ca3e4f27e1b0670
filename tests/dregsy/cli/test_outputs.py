import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from dregsy.cli.outputs import Left
from tests.dregsy.cli.conftest import Dregsy


async def started(*arguments: str, after: str = "") -> Process:
    """Start the command."""
    code = f"import sys; from dregsy.cli import main; code = main(sys.argv[1:]){after}; sys.exit(code)"
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments, stdout=PIPE, stderr=PIPE)


@pytest.mark.parametrize("config", ["tasks: 7\n", "relay: skopeo\nskopeo: {binary: /no/such/skopeo}\ntasks: []\n"])
async def test_what_keeps_a_run_from_its_beginning(dregsy: Dregsy, tmp_path: Path, config: str) -> None:
    """A report of the run before does not stay there as if all were well."""
    file, report = tmp_path / "sync.yaml", tmp_path / "r.json"
    text = "{name: t, source: {registry: a.test}, target: {registry: b.test}, mappings: [{from: x, tags: ['1']}]}"
    file.write_text(config.replace("[]", f"[{text}]"))
    report.write_text('{"ok": true}')

    ran = await dregsy("-config", str(file), "-report", str(report))

    data = json.loads(report.read_text())
    assert (ran.code, data["ok"], data["exit_code"], data["tasks"]) == (1, False, 1, [])
    assert data["error"]["error"] in ran.err


async def test_what_cannot_be_written_in_the_end(config: str, tmp_path: Path) -> None:
    """The run is told as ever, the error comes last, and the exit code is 1 though all was copied."""
    folder = tmp_path / "out"
    folder.mkdir()
    process = await started("-config", config, "-run", "first", "-report", str(folder / "r.json"))
    assert process.stdout is not None
    async with asyncio.timeout(60):
        first = await process.stdout.readline()
        folder.rename(tmp_path / "away")
        out, err = await process.communicate()

    assert b"task 'first' started" in first
    assert b"task 'first' finished: 1 copied" in out
    why = f"{folder}/r.json cannot be written: no such file or directory"
    hint = "name a file in a folder that can be written to"
    assert (process.returncode, err.decode()) == (1, f"error: {why} — {hint}\n")


def test_ctrl_c(tmp_path: Path) -> None:
    """Who ends the command by force, while it waits for messages to be taken, has the report all the same."""
    left = Left(str(tmp_path / "r.json"), "", summary=False)

    with pytest.raises(KeyboardInterrupt), left.kept(None):
        raise KeyboardInterrupt

    data = json.loads((tmp_path / "r.json").read_text())
    assert (data["ok"], data["exit_code"]) == (False, 130)


async def test_nothing_asked_for_loads_nothing(config: str) -> None:
    """A run that leaves nothing behind and tells nobody does without all that would do it."""
    process = await started("-config", config, "-run", "first", after="; print(*sys.modules)")
    async with asyncio.timeout(60):
        out, _ = await process.communicate()

    names = out.decode().splitlines()[-1].split()
    assert "dregsy.cli.run" in names
    assert [name for name in names if name.startswith("dregsy.notify")] == []
    assert [name for name in names if name in {"smtplib", "xml.etree.ElementTree", "dregsy.reports.outputs"}] == []
