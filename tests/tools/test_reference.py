"""The tables of keys in the manual are what the models give."""

import re

from dregsy.config import relays
from tools import reference, schema


def test_the_pages_are_what_the_models_give() -> None:
    """``make docs`` was run after the last change of a key."""
    assert [path.name for path, text in reference.pages() if path.read_text(encoding="utf-8") != text] == [], (
        "run `make docs`"
    )


def test_every_key_has_its_row() -> None:
    """All keys of the schema are in the manual, each with a type, what counts without it, and a meaning."""
    text = reference.PAGES[0].read_text(encoding="utf-8")
    rows = [row for table in re.findall(reference._MARKER, text) for row in _rows(text, table[1])]
    keys = {cells[0].split("`")[1].rpartition(".")[2] for cells in rows}
    document = schema.schema()
    known = {key for section in (document, *document["$defs"].values()) for key in section["properties"]}
    channels = {"webhook", "slack", "email"}
    sections = {"lister", "listen", "rate-limit", "repository", "timeouts", *channels, *relays.section_names()} & known

    assert known - sections - keys == set()
    assert [cells[0] for cells in rows if not all(cells)] == []


def _rows(text: str, name: str) -> list[list[str]]:
    table = next(found[0] for found in re.finditer(reference._MARKER, text) if found[2] == name)
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_links_lead_to_headings() -> None:
    """Whatever a table links to on its page is there."""
    text = reference.PAGES[0].read_text(encoding="utf-8")
    headings = {reference.anchor(heading) for heading in re.findall(r"(?m)^#+ (.+)$", text)}

    assert set(re.findall(r"\]\((#[^)]+)\)", text)) <= headings


def test_a_new_key_is_marked_as_ours() -> None:
    """Upstream's keys are known by name; anything else gets the sign."""
    whole = {
        "properties": {
            "tasks": {"type": "array", "title": "x"},
            "new": {"title": "text", "x-markdown": "A.\n\nLeft out: b"},
        },
        "$defs": {},
    }
    page = "<!-- keys: Config; this table is made by `make docs` -->\n<!-- end of keys -->"

    made = reference.page(page, whole, {}).splitlines()
    assert made[3:5] == ["| `tasks` | x |  |  |", "| `new` **+** | text | b | A. |"]
    assert reference.page("\n".join(made), whole, {}).splitlines() == made
