"""What is installed: one wheel, two packages, a quick command."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.testbed.command import Dregsy

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"boto3", "botocore", "docker", "pydantic", "aiohttp", "rich", "yaml", "asyncio", "re2"}


def test_the_wheel_holds_two_packages(tmp_path: Path) -> None:
    """The wheel's top level is dregsy and relays, and it says which relays and commands it brings."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()

    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dregsy", "relays"}
    assert not [name for name in names if "test" in name]
    for line in ("dregsy = dregsy.cli:main", "native = relays.native.relay:NativeRelay", "[dregsy.relays.v1]"):
        assert line in points


def test_version_imports_nothing_heavy() -> None:
    """``dregsy --version`` loads none of the libraries that take their time."""
    code = (
        "import sys\nfrom dregsy.cli import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert set(done.stdout.split()) & HEAVY == set()


def test_python_dash_m(tmp_path: Path) -> None:
    """``python -m dregsy`` is the same command."""
    done = subprocess.run([sys.executable, "-m", "dregsy", "--version"], check=True, capture_output=True, text=True)

    assert done.stdout == Dregsy(tmp_path).run("--version").out
