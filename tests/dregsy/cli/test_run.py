import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.dregsy.cli.conftest import Dregsy, Pair

STUBBORN = '''
import asyncio
from pydantic import BaseModel
from dregsy.relay import Feature


class Stubborn:
    """Never ends a copy, whoever asks for it."""

    class Settings(BaseModel):
        pass

    features = frozenset(Feature)

    def __init__(self, settings, toolbox):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass

    async def copy(self, copy, source, targets):
        print("copying", flush=True)
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
'''


async def test_run_writes_a_line_per_event(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """Without a terminal there is a line for each event, in the end each failure, and exit code 1 for it."""
    ran = await dregsy("-config", config)

    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (1, "")
    assert [line.split()[1] for line in lines[:3]] == ["info", "info", "info"]
    assert lines[-1].startswith("  failed ")
    assert lines[-1].endswith(f"({config}:12)")
    assert "2.0" in lines[-1]
    assert set(embedded_pair[1].store.open("test/b").tags) == {"1.0"}


async def test_run_of_some_tasks(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """``-run`` leaves the other tasks alone, and then all is well."""
    ran = await dregsy("-config", config, "-run", "fir.*")

    assert ran.code == 0
    assert set(embedded_pair[1].store.open("mirror/a").tags) == {"1.0"}
    assert embedded_pair[1].store.open("test/b").tags == {}


async def test_filter_that_is_no_expression(dregsy: Dregsy, config: str) -> None:
    """A filter that cannot be read ends with 1 before anything is done."""
    ran = await dregsy("-config", config, "-run=(")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: invalid task filter '('")


async def test_filter_that_matches_nothing(dregsy: Dregsy, config: str) -> None:
    """No task to run is worth a warning and exit code 0."""
    ran = await dregsy("-config", config, "-run", "nope")

    assert ran.code == 0
    assert "warning no task's name matches" in ran.out


async def test_json_is_all_that_is_on_stdout(dregsy: Dregsy, config: str) -> None:
    """With ``--json`` the result is data on the standard output, and the events are lines on stderr."""
    ran = await dregsy("run", "--json", "-config", config)

    data = json.loads(ran.out)
    assert (ran.code, data["ok"], data["exit_code"]) == (1, False, 1)
    assert [(task["task"], task["copied"], task["failed"]) for task in data["tasks"]] == [
        ("first", 1, 0),
        ("second", 1, 1),
    ]
    assert data["tasks"][0]["images"][0]["digest"].startswith("sha256:")
    assert "task 'first' started" in ran.err


async def test_config_from_standard_input(dregsy: Dregsy, config: str) -> None:
    """``-config -`` reads the file from the standard input."""
    ran = await dregsy("-config", "-", "-run", "first", stdin=Path(config).read_text())

    assert ran.code == 0


async def test_strict(dregsy: Dregsy, tmp_path: Path) -> None:
    """An unknown key is a warning on stderr, and with ``--strict`` an error."""
    file = tmp_path / "odd.yaml"
    file.write_text("paralel: 3\n")

    lenient = await dregsy("-config", str(file))
    strict = await dregsy("-config", str(file), "-strict")

    assert (lenient.code, strict.code) == (0, 1)
    assert lenient.err.startswith(f"warning: {file}:1: ")
    assert strict.err.startswith(f"error: {file}:1: ")


async def test_third_signal_ends_even_a_stubborn_relay(config: str, tmp_path: Path) -> None:
    """The first signal lets copies finish, the second cancels them, and the third kills, whatever a relay does."""
    info = tmp_path / "site" / "stubborn-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "stubborn_relay.py").write_text(STUBBORN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dregsy.relays.v1]\nstubborn = stubborn_relay:Stubborn\n")
    Path(config).write_text("relay: stubborn\n" + Path(config).read_text())
    code = f"import sys; sys.path.insert(0, {str(info.parent)!r}); from dregsy.cli import main; sys.exit(main())"

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "-config", config),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            for awaited in (b"copying", b"stopping: ", b"cancelling "):
                while awaited not in await process.stdout.readline():
                    assert not process.stdout.at_eof()
                process.send_signal(signal.SIGTERM)
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == -signal.SIGTERM
