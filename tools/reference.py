"""``make docs``: writes the tables of keys in the manual, between their markers, and the schema for editors.

All of it comes from tools/schema.py, and that from the models: what stands around the markers is written by hand.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tools import schema
from tools.schema import ROOT, Schema

PAGES = (ROOT / "docs/config/dregsy.md",)
RELAYS = ("native", "skopeo", "docker")
LEFT_OUT = "Left out:"
UPSTREAM = frozenset({
    "relay", "tasks", "watch", "lister", "lister.maxItems", "lister.cacheDuration", "dockerhost", "api-version",
    "skopeo", "skopeo.binary", "skopeo.certs-dir", "docker", "docker.dockerhost", "docker.api-version",
    "Task.name", "Task.interval", "Task.verbose", "Task.source", "Task.target", "Task.mappings",
    "Location.registry", "Location.auth", "Location.auth-refresh", "Location.skip-tls-verify",
    "Location.lister", "Location.lister.type", "Location.lister.search",
    "Mapping.from", "Mapping.to", "Mapping.tags", "Mapping.platform",
})  # fmt: skip
"""The keys that upstream dregsy has; all others are ours, and marked so."""
_PREFIXES = {"State": "state."}
_MARKER = r"(?s)(<!-- keys: (\w+); this table is made by `make docs` -->\n).*?(<!-- end of keys -->)"
_HEADING = r"^#+ (.+)$"


def page(text: str, whole: Schema, anchors: dict[str, str]) -> str:
    """Return a page with its tables made anew; ``anchors`` tells where which section's table is."""

    def table(found: re.Match[str]) -> str:
        return found[1] + "\n".join(Rows(whole, anchors).table(found[2])) + "\n" + found[3]

    return re.sub(_MARKER, table, text)


def tables(text: str) -> dict[str, str]:
    """Return the sections that have a table on a page, each with the heading that it is under."""
    found = {}
    for marker in re.finditer(_MARKER, text):
        headings = re.findall(_HEADING, text[: marker.start()], re.MULTILINE)
        found[marker[2]] = headings[-1]
    return found


def anchor(heading: str) -> str:
    """Return the fragment that leads to a heading, as forges make it."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


class Rows:
    """The rows of one table: a section's keys, and those of the sections in it that have no table of their own."""

    def __init__(self, whole: Schema, anchors: dict[str, str]) -> None:
        self._whole = whole
        self._anchors = anchors

    def table(self, name: str) -> Iterator[str]:
        """Yield the lines of the table of a section: ``Config`` is the file itself, ``native`` a relay's section."""
        yield "| key | type | when left out | meaning |"
        yield "|---|---|---|---|"
        section, prefix = self._section(name)
        for row in self._rows(section, name, prefix):
            yield "| " + " | ".join(one.replace("|", "\\|") for one in row) + " |"

    def _section(self, name: str) -> tuple[Schema, str]:
        if name in {"Config", "Relays"}:
            is_here = {key: (key in RELAYS) == (name == "Relays") for key in self._whole["properties"]}
            return {"properties": {key: self._whole["properties"][key] for key in is_here if is_here[key]}}, ""
        return self._whole["$defs"][name], _PREFIXES.get(name, "")

    def _rows(self, section: Schema, name: str, prefix: str) -> Iterator[tuple[str, ...]]:
        for key, one in section["properties"].items():
            inner = _reference(one)
            if inner is not None and inner not in self._anchors:
                yield from self._rows(self._whole["$defs"][inner], name, f"{prefix}{key}.")
            else:
                yield self._row(f"{prefix}{key}", name, one, is_needed=key in section.get("required", ()))

    def _row(self, key: str, name: str, one: Schema, *, is_needed: bool) -> tuple[str, ...]:
        meaning, _, fallback = one.get("x-markdown", "").partition(LEFT_OUT)
        default = f"`{str(one['default']).lower()}`" if "default" in one else ""
        path = key if name in {"Config", "Relays"} else f"{name}.{key}"
        mark = "" if path in UPSTREAM else " **+**"
        left_out = " ".join(fallback.split()) or default or ("required" if is_needed else "")
        return f"`{key}`{mark}", self._kind(one), left_out, " ".join(meaning.split())

    def _kind(self, one: Schema) -> str:
        """How the value is written, in words."""
        inner = _reference(one)
        if inner is None or inner not in self._anchors:
            return str(one.get("title", "any value"))
        heading = self._anchors[inner]
        what = f"see [{heading.partition(':')[0].rstrip(' *+')}]({anchor(heading)})"
        if any(form.get("type") == "array" for form in _choices(one)):
            return f"list, {what}"
        return f"text, or {what}" if {"type": "string"} in _choices(one) else what


def _choices(one: Schema) -> list[Schema]:
    return one.get("anyOf") or [one]


def _reference(one: Schema) -> str | None:
    """Return the section that a value is, or that the items of a list are."""
    for form in _choices(one):
        inner = form.get("items", form)
        for choice in _choices(inner):
            if "$ref" in choice:
                return str(choice["$ref"]).rpartition("/")[2]
    return None


def main() -> None:
    """Write everything anew."""
    schema.FILE.write_text(schema.text(), encoding="utf-8")
    for path, text in pages():
        path.write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[Path, str]]:
    """Yield the pages with keys, as they are to be."""
    whole = schema.schema(markdown=True)
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        yield path, page(text, whole, tables(text))


if __name__ == "__main__":
    main()
