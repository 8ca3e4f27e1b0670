"""A small Debian with Python as an image, made in seconds of this machine's own packages.

It takes the place of ``python:3.11-slim-bookworm`` where no hub can be reached: apt and dpkg work in it.
"""

import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOTS = ("apt", "ca-certificates", "libc-bin", "passwd", "python3-venv")
_DULL = re.compile(r"/usr/share/(doc|info|lintian|locale|man|bug)/|/__pycache__/")
_ALSO = (
    "/etc/alternatives", "/etc/apt/sources.list.d/debian.sources", "/etc/ld.so.cache", "/etc/pip.conf",
    "/etc/ssl/certs", "/usr/bin/awk", "/usr/bin/which", "/var/lib/dpkg/alternatives", "/var/lib/dpkg/triggers",
)  # fmt: skip
_EMPTY = (
    "var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/lib/dpkg/updates", "var/log/apt",
)  # fmt: skip
_FIELD = re.compile(r"^(Package|Architecture|Essential|Pre-Depends|Depends|Provides|Status): (.*)$", re.MULTILINE)
_STATUS = Path("/var/lib/dpkg/status")


def write_base(archive: Path) -> None:
    """Write the file system, as a tar file, with all that is essential and the packages of ``ROOTS``."""
    stanzas = _closure()
    written: set[str] = set()

    def once(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        is_new = member.name not in written
        written.add(member.name)
        return member if is_new else None

    with tarfile.open(archive, "w") as tar:
        for path in (*_merged(), *_files(stanzas), *_known(stanzas), *_ALSO):
            if Path(path).is_symlink() or Path(path).exists():
                tar.add(path, recursive=path in _ALSO, filter=once)
        for name in _EMPTY:
            tar.add("/root", name, recursive=False, filter=once)
        for name in ("passwd", "group"):
            tar.add(f"/usr/share/base-passwd/{name}.master", f"etc/{name}")
        status = archive.with_suffix(".status")
        status.write_text("\n".join(f"{stanza}\n" for stanza in stanzas.values()))
        tar.add(status, "var/lib/dpkg/status")


def _closure() -> dict[str, str]:
    """Return what dpkg knows of the packages that are essential or asked for, and of all that these need."""
    stanzas: dict[str, str] = {}
    fields: dict[str, dict[str, str]] = {}
    named: dict[str, str] = {}
    for stanza in _STATUS.read_text().split("\n\n"):
        found = dict(_FIELD.findall(stanza))
        if found.get("Status") == "install ok installed":
            name = found["Package"]
            stanzas[name], fields[name] = stanza, found
            for provided in _names(found.get("Provides", "")):
                named.setdefault(provided, name)
    named |= {name: name for name in stanzas}
    waiting = [*ROOTS, *(name for name, found in fields.items() if found.get("Essential") == "yes")]
    needed: set[str] = set()
    while waiting:
        name = named.get(waiting.pop(), "")
        if name and name not in needed:
            needed.add(name)
            waiting += _names(f"{fields[name].get('Pre-Depends', '')},{fields[name].get('Depends', '')}")
    return {name: stanzas[name] for name in sorted(needed)}


def _names(relation: str) -> list[str]:
    """All packages that a relation names, alternatives among them: those that are not here do no harm."""
    return [part.split()[0].partition(":")[0] for part in re.split("[,|]", relation) if part.strip()]


def _files(stanzas: dict[str, str]) -> Iterator[str]:
    """What belongs to packages; each below its real folder, since /bin and its like are links."""
    listed = subprocess.run(["dpkg-query", "--listfiles", *stanzas], check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        if line.startswith("/") and line != "/." and not _DULL.search(line):
            yield str(Path(line).parent.resolve() / Path(line).name)


def _known(stanzas: dict[str, str]) -> Iterator[str]:
    """What dpkg has written down about packages."""
    for path in sorted((_STATUS.parent / "info").iterdir()):
        if path.name.partition(".")[0].partition(":")[0] in stanzas or path.stem.partition(":")[0] in stanzas:
            yield str(path)
    yield str(_STATUS.parent / "info/format")


def _merged() -> Iterator[str]:
    """The links of a merged /usr."""
    return (f"/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"))
