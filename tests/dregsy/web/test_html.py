from dregsy.web.html import Html, join, tag


def test_texts_are_escaped() -> None:
    """Whatever stands in a text or an attribute, it ends neither."""
    evil = "</p><script>alert('\"&')</script>"

    written = tag("p", evil, title=evil)

    safe = "&lt;/p&gt;&lt;script&gt;alert(&#x27;&quot;&amp;&#x27;)&lt;/script&gt;"
    assert written == f'<p title="{safe}">{safe}</p>'


def test_html_stays() -> None:
    """What was built is put in as it is, alone or in lists; None is nothing."""
    items = [tag("li", "a"), tag("li", "b & c")]

    assert tag("ul", items, None, Html("<!-- x -->")) == "<ul><li>a</li><li>b &amp; c</li><!-- x --></ul>"
    assert join("<", items[0]) == "&lt;<li>a</li>"


def test_what_is_cut_out_of_html_is_text() -> None:
    """A part of it is no HTML that could be trusted, and is escaped."""
    assert tag("p", tag("b", "x")[:3]) == "<p>&lt;b&gt;</p>"


def test_attributes() -> None:
    """Names that Python has for itself, those with a dash, and such without a value."""
    written = tag("input", class_="a", aria_label="b", name="c", max=0, hidden=True, disabled=False, title=None)

    assert written == '<input class="a" aria-label="b" name="c" max="0" hidden>'
