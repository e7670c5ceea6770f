"""Where outputs may stand: everywhere that escaping makes them harmless, and nowhere else."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.content import compile_template
from bespeak.content.filters import safe_url
from bespeak.content.places import TEXT, scan
from bespeak.errors import TemplateError


def compiled(text: str):
    return compile_template(text, ("x", "y", "l"), source="t")


@pytest.mark.parametrize(
    "text",
    [
        "{{ x }}",
        "<p>{{ x }}</p>",
        '<p class="{{ x }} b">',
        "<p class='a-{{ x }}'>",
        '<p class = "{{ x }}" data-id="{{ y }}">',
        '<a href="/p/{{ x | url_encode }}?q={{ y | url_encode }}">{{ x }}</a>',
        '<a href="{{ x | safe_url }}">a</a>',
        '<a href=" {{ x | append: "/" | safe_url }}">a</a>',
        '<a href="https://shop.example/{{ x }}">a</a>',
        '<a href="mailto:{{ x }}">a</a>',
        '<a href="#{{ x }}">a</a>',
        '<img src="/img/{{ x }}.svg" alt="{{ y }}">',
        "<textarea>{{ x }}</textarea><title>{{ x }}</title>{{ y }}",
        "<!-- a > b -->{{ x }}",
        "<!DOCTYPE html><br/>{{ x }}",
        "a < b {{ x }}",
        "<script>if (a < b) { '</scrip>' }</script>{{ x }}",
        "<style>p > b {}</style><p>{{ x }}",
        '<p {% if x %}class="a"{% endif %}>{{ x }}</p>',
        '<p class="{% if x %}a{% else %}{{ y }}{% endif %}">',
        '<a href="/x?{% for t in l %}t={{ t | url_encode }}&amp;{% endfor %}">',
        "{% capture c %}<b>{{ x }}</b>{% endcapture %}{{ c }}",
        "{% for t in l %}<li>{% if t %}{% break %}{% endif %}{{ t }}</li>{% endfor %}",
        "{% raw %}<p>{% endraw %}{{ x }}",
    ],
)
def test_an_output_where_escaping_helps_is_taken(text):
    assert compiled(text).text == text


@pytest.mark.parametrize(
    "text, words",
    [
        ("<script>var a = '{{ x }}'</script>", "cannot stand in <script>"),
        ("<SCRIPT\n>{{ x }}</SCRIPT>", "cannot stand in <script>"),
        ("<script><!-- </p> {{ x }}</script>", "cannot stand in <script>"),
        ("<style>p { color: {{ x }} }</style>", "cannot stand in <style>"),
        ('<p onclick="f({{ x }})">', "the onclick attribute of <p>, since what stands there is run"),
        ('<p ONCLICK = "{{ x }}">', "the onclick attribute"),
        ('<p style="color: {{ x }}">', "the style attribute"),
        ('<iframe srcdoc="{{ x }}"></iframe>', "the srcdoc attribute"),
        ('<meta http-equiv="refresh" content="0;url={{ x }}">', "the content attribute of <meta>"),
        ("<p class={{ x }}>", "the unquoted class attribute"),
        ("<p class=a{{ x }}>", "the unquoted class attribute"),
        ("<p {{ x }}>", "cannot stand in the tag <p>"),
        ("<{{ x }}>", "cannot stand in the tag"),
        ("</{{ x }}>", "cannot stand in the tag"),
        ("<p data-{{ x }}='a'>", "cannot stand in the tag <p>"),
        ("<!-- {{ x }} -->", "cannot stand in a comment"),
        ('<a href="{{ x }}">', "needs | safe_url as its last filter"),
        ('<a href="{{ x | safe_url | append: y }}">', "needs | safe_url as its last filter"),
        ('<a href="  {{ x }}">', "needs | safe_url"),
        ('<form action="{{ x }}">', "the action attribute of <form>"),
        ('<img src="{{ x }}">', "needs | safe_url"),
        ('<a href="javascript:f({{ x }})">', "an address that begins with javascript:"),
        ('<a href="data:text/html,{{ x }}">', "an address that begins with data:"),
        ('<a href="java{{ x }}">', "cannot continue the start"),
        ('<a href="{{ x | safe_url }}{{ y | safe_url }}">', "cannot continue the start"),
        ('<a href="{% if x %}a{% endif %}{{ y | safe_url }}">', "cannot continue the start"),
        ('<a href="{% for t in l %}{{ t | safe_url }}{% endfor %}">', "cannot continue the start"),
        ('<p class="{{ x }}', "the template ends in the class attribute of <p>; close it"),
        ("<p>{{ x }}<", "the template ends in the tag"),
        ("<script>", "the template ends in <script>"),
        ('<p {% if x %}class="{% endif %}a">', "a branch of 'if' does not end where it begins"),
        ("{% if x %}<script>{% endif %}{{ y }}</script>", "does not end where it begins"),
        ("{% unless x %}<!--{% endunless %}{{ y }}", "does not end where it begins"),
        ("{% case x %}{% when 1 %}<p {% endcase %}{{ y }}>", "does not end where it begins"),
        ("{% for t in l %}<p {% endfor %}", "does not end where it begins"),
        ("{% for t in l %}<p {% break %}>{% endfor %}", "and the loop began in text"),
        ("{% capture c %}<p {% endcapture %}{{ c }}", "does not end where it begins"),
    ],
)
def test_an_output_where_escaping_does_not_help_is_refused(text, words):
    with pytest.raises(TemplateError, match=r"line \d: ") as caught:
        compiled(text)
    assert words in str(caught.value)


class Seen(HTMLParser):
    """What Python's own HTML parser makes of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(attrs)))


@given(st.text(alphabet="<>\"'&=/ ab:!-;#\n\t\x00{}", max_size=30))
def test_whatever_a_visitor_is_called_the_tags_of_the_page_stay_the_same(name):
    link = '<a href="{{ x | safe_url }}">{{ x }}</a>'
    template = compiled(
        f"<div class=\"a {{{{ x }}}}\" title='{{{{ x }}}}'>{link}<textarea>{{{{ x }}}}</textarea></div>"
    )
    seen, plain = Seen(), Seen()
    seen.feed(template.render({"x": name}))
    plain.feed(template.render({"x": "n"}))
    assert [(tag, [key for key, _ in attributes]) for tag, attributes in seen.tags] == [
        (tag, [key for key, _ in attributes]) for tag, attributes in plain.tags
    ]


@pytest.mark.parametrize(
    "text",
    ["/p/1", "p/1", "./a", "?q=1", "#a", "https://a.example/x", "HTTP://a.example", "mailto:a@b.example", "tel:1"],
)
def test_an_address_that_a_browser_only_visits_is_kept(text):
    assert safe_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:x",
        " javascript:x",
        "java\nscript:x",
        "\x01javascript:x",
        "vbscript:x",
        "data:text/html,x",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "x:y",
        "",
        "blob:x",
        "java\tscript:x",
    ],
)
def test_an_address_that_runs_or_leads_to_another_host_unseen_is_not(text):
    assert safe_url(text) == "#"


@given(st.text(alphabet="<>\"'=/ abscript!-", max_size=60), st.integers(0, 60))
def test_scanning_in_two_pieces_is_scanning_at_once(text, cut):
    assert scan(scan(TEXT, text[:cut]), text[cut:]) == scan(TEXT, text)
