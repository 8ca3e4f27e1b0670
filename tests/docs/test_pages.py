"""The documentation as a whole: its links lead somewhere, its index leaves nothing out."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name
from tools.reference import anchor


def links(page: Path) -> list[tuple[str, str]]:
    """Return the page's links to files of this project, each with its fragment."""
    text = re.sub(r"(?ms)^ *```.*?```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    return re.findall(r"\]\((?![a-z]+:)([^)#]*)(#[^)]*)?\)", text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links(page: Path) -> None:
    """Each link finds its file, and its heading there."""
    for file, fragment in links(page):
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), file
        if fragment:
            headings = re.findall(r"(?m)^#+ (.+)$", there.read_text(encoding="utf-8"))
            assert fragment in map(anchor, headings), f"{file}{fragment}"


def test_the_index_has_every_page() -> None:
    """docs/README.md leads to all pages but the decisions, which are a folder."""
    index = ROOT / "docs/README.md"
    named = {(index.parent / file).resolve() for file, _ in links(index)}
    pages = {page for page in PAGES if page.is_relative_to(index.parent) and page.parent.name != "decisions"} - {index}

    assert {name(page) for page in pages - named} == set()


def test_the_readme_leads_to_the_index() -> None:
    """A newcomer finds the way in."""
    assert ("docs/README.md", "") in links(ROOT / "README.md")


def test_every_difference_has_a_reason() -> None:
    """No row of docs/differences.md leaves a cell empty."""
    lines = [line for line in (ROOT / "docs/differences.md").read_text().splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]

    assert {len(row) for row in rows} == {3}
    assert [row for row in rows if not all(row)] == []
