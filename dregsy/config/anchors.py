"""Where anchoring a whole expression, as we do, selects other names than upstream's way of anchoring its text.

Upstream puts ``^`` in front and ``$`` behind, so that ``a|b`` becomes ``^a|b$``: what starts with a, or ends with b.
"""

from collections.abc import Iterator


def upstream_reading(expression: str) -> str | None:
    """Return the expression that selects here what ``expression`` does upstream; None when that is the same."""
    sides = list(_alternatives(expression))
    if len(sides) == 1:
        return None
    last = len(sides) - 1
    read = [_open(side, left=place > 0, right=place < last) for place, side in enumerate(sides)]
    return None if read == sides else "|".join(read)


def _open(side: str, *, left: bool, right: bool) -> str:
    """Write out that a side is not held at an end."""
    before = ".*" if left and not side.startswith(("^", ".*")) else ""
    after = ".*" if right and (not side.endswith(("$", ".*")) or side.endswith(("\\$", "\\.*"))) else ""
    return f"{before}{side}{after}"


def _alternatives(expression: str) -> Iterator[str]:
    """Split at each ``|`` that stands in no group, no class and no quotation (RE2 syntax)."""
    start = place = depth = 0
    while place < len(expression):
        sign = expression[place]
        if sign in "\\[":
            place = _after(expression, place)
            continue
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "|" and not depth:
            yield expression[start:place]
            start = place + 1
        place += 1
    yield expression[start:]


def _after(expression: str, place: int) -> int:
    """Return the place behind an escape, a quotation or a class that starts at ``place``."""
    if expression.startswith("\\Q", place):
        end = expression.find("\\E", place)
        return end + 2 if end >= 0 else len(expression)
    if expression[place] == "\\":
        return place + 2
    place += 1
    place += expression.startswith("^", place)
    place += expression.startswith("]", place)
    while place < len(expression) and expression[place] != "]":
        if expression.startswith("[:", place) and (end := expression.find(":]", place)) >= 0:
            place = end + 2
        else:
            place += 2 if expression[place] == "\\" else 1
    return place + 1
