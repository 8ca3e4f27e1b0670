"""Checks what no linter knows: twin tests, file and function sizes, one home for broad excepts.

Prints each breach as ``file: what`` and exits 1 when there is any.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("dregsy", "relays")
FILE_LIMIT = 400
FUNCTION_LIMIT = 40
BROAD_EXCEPT_HOMES = {"dregsy/executor.py", "dregsy/cli/__init__.py"}
NO_TWIN = {"dregsy/__main__.py"}  # three lines, run by tests/e2e


def sources() -> list[Path]:
    """Return every source file of the two packages."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def has_code(tree: ast.Module) -> bool:
    """Whether the module holds more than a docstring, imports and plain constants."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in tree.body)


def twin_of(path: Path) -> Path:
    """Where the tests of a source file live."""
    relative = path.relative_to(ROOT)
    name = relative.parent.name if relative.name == "__init__.py" else relative.stem
    return ROOT / "tests" / relative.parent / f"test_{name}.py"


def twins() -> Iterator[str]:
    """Every source file with code has a test file of its name, and the other way round."""
    expected = set()
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        twin = twin_of(path)
        expected.add(twin)
        if name not in NO_TWIN and has_code(ast.parse(path.read_text())) and not twin.exists():
            yield f"{name}: has no twin {twin.relative_to(ROOT)}"
    for package in PACKAGES:
        for test in sorted((ROOT / "tests" / package).rglob("test_*.py")):
            if test not in expected:
                yield f"{test.relative_to(ROOT)}: has no source file of its name"


def sizes() -> Iterator[str]:
    """No source file over the limit, no function over its limit (its docstring not counted)."""
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text()
        if (lines := len(text.splitlines())) > FILE_LIMIT:
            yield f"{name}: {lines} lines, the limit is {FILE_LIMIT}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = body_length(node)
                if length > FUNCTION_LIMIT:
                    yield f"{name}:{node.lineno}: {node.name} has {length} lines, the limit is {FUNCTION_LIMIT}"


def body_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring not counted."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def broad_excepts() -> Iterator[str]:
    """``except Exception`` belongs to the two places that turn bugs into reports."""
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if name in BROAD_EXCEPT_HOMES:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = (
                    {one.id for one in ast.walk(node.type) if isinstance(one, ast.Name)} if node.type else {"Exception"}
                )
                if caught & {"Exception", "BaseException"}:
                    yield f"{name}:{node.lineno}: a broad except hides bugs"


def main() -> int:
    """Run all rules."""
    breaches = [*twins(), *sizes(), *broad_excepts()]
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
