"""What is refused when a template is read: with its line, and before any visitor sees it."""

from __future__ import annotations

import pytest

from bespeak.content import FILTERS, TAGS, compile_template
from bespeak.errors import TemplateError


def compiled(text: str, *declared: str):
    return compile_template(text, declared, source="hero.yaml: template")


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("<p>\n\n{{ nmae }}</p>", 3, "variable 'nmae' is not declared; declared are name; add 'nmae' to variables"),
        ("{% if vip %}x{% endif %}", 1, "variable 'vip' is not declared"),
        ("{{ name | append: other }}", 1, "variable 'other' is not declared"),
        ("{% for a in things %}{% endfor %}", 1, "variable 'things' is not declared"),
        ("{% for a in (1..many) %}{% endfor %}", 1, "variable 'many' is not declared"),
        ("{% for a in name limit: most %}{% endfor %}", 1, "variable 'most' is not declared"),
        ("{{ name[key] }}", 1, "variable 'key' is not declared"),
        ("{{ [name] }}", 1, "is not declared"),
        ("{{ now }}", 1, "variable 'now' is not declared"),
        ("{{ partial }}", 1, "variable 'partial' is not declared"),
        ("{{ a }}{% assign a = 1 %}", 1, "variable 'a' is not declared"),
        ("{% for a in name %}{% endfor %}{{ a }}", 1, "variable 'a' is not declared"),
        ("{{ forloop.index }}", 1, "variable 'forloop' is not declared"),
        ("x\n{% include 'other' %}", 2, "unexpected tag 'include'; the tags are assign, "),
        ("{% render 'other' %}", 1, "unexpected tag 'render'"),
        ("{% tablerow a in name %}{% endtablerow %}", 1, "unexpected tag 'tablerow'"),
        ("{% liquid\nassign a = 1 %}", 1, "unexpected tag 'liquid'"),
        ("{% doc %}x{% enddoc %}", None, "doc"),
        ("x\n{{ name | safe }}", 2, "unknown filter 'safe'; the filters are abs, "),
        ("{% assign a = name | base64_decode %}", 1, "unknown filter 'base64_decode'"),
        ("{% if name %}x", None, "expected tag endif"),
        ("{{ name ", None, ""),
        ("{% assign a = (1..1000000000) %}", 1, "the range (1..1000000000) stands outside a loop"),
        ("{{ name | append: (1..3) }}", 1, "the range (1..3) stands outside a loop"),
        ("{% if (1..9) contains name %}x{% endif %}", 1, "stands outside a loop"),
        ("{% case name %}\n{% when (1..9) %}x{% endcase %}", 2, "stands outside a loop"),
        ("{% for a in name offset: (1..9) %}x{% endfor %}", 1, "stands outside a loop"),
        ("{% if name %}" * 21 + "{% endif %}" * 21, None, "nesting limit"),
        ("{% if " + " and ".join(["name"] * 1_500) + " %}x{% endif %}", None, ""),
        ("x" * 20_001, None, "at most 20,000 characters, got 20,001"),
    ],
)
def test_a_template_that_does_what_it_may_not_is_refused_with_its_line(text, line, words):
    with pytest.raises(TemplateError) as caught:
        compiled(text, "name")
    message = str(caught.value)
    assert message.startswith("hero.yaml: template")
    assert words in message
    if line is not None:
        assert f": line {line}: " in message


def test_every_undeclared_variable_is_among_the_problems():
    with pytest.raises(TemplateError) as caught:
        compiled("{{ a }}\n{{ b }}\n{{ a }}")
    assert [(p.path, p.found) for p in caught.value.problems] == [("line 1", "a"), ("line 2", "b"), ("line 3", "a")]


def test_names_a_template_makes_itself_need_not_be_declared():
    text = (
        "{% assign a = 1 %}{% capture b %}{{ a }}{% endcapture %}"
        "{% for c in name %}{{ c }}{{ forloop.index }}{% endfor %}{{ a }}{{ b }}"
    )
    assert compiled(text, "name").render({"name": ["x"]}) == "x111"


@pytest.mark.parametrize("name", TAGS)
def test_every_documented_tag_works(name):
    examples = {
        "assign": ("{% assign a = 1 %}{{ a }}", "1"),
        "break": ("{% for a in (1..3) %}{{ a }}{% break %}{% endfor %}", "1"),
        "capture": ("{% capture a %}x{% endcapture %}{{ a }}", "x"),
        "case": ("{% case 1 %}{% when 1 %}x{% else %}y{% endcase %}", "x"),
        "comment": ("{% comment %}x{% endcomment %}y", "y"),
        "continue": ("{% for a in (1..3) %}{% continue %}{{ a }}{% endfor %}", ""),
        "for": ("{% for a in (1..3) %}{{ a }}{% else %}none{% endfor %}", "123"),
        "if": ("{% if 1 > 2 %}x{% elsif 1 == 1 %}y{% else %}z{% endif %}", "y"),
        "raw": ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        "unless": ("{% unless 1 > 2 %}x{% endunless %}", "x"),
        "#": ("{% # a remark %}x", "x"),
    }
    text, html = examples[name]
    assert compiled(text).render({}) == html


@pytest.mark.parametrize(
    "expression, html",
    [
        ("-3 | abs", "3"),
        ("'a' | append: 'b'", "ab"),
        ("3 | at_least: 5", "5"),
        ("3 | at_most: 2", "2"),
        ("'aB' | capitalize", "Ab"),
        ("1.2 | ceil", "2"),
        ("l | compact | size", "3"),
        ("l | concat: l | size", "6"),
        ("'2026-01-31T23:00:00Z' | date: '%d.%m.%Y'", "31.01.2026"),
        ("1000000 | date: '%S'", "01"),
        ("'' | default: 'x'", "x"),
        ("7 | divided_by: 2", "3"),
        ("'AB' | downcase", "ab"),
        ("'<' | escape", "&lt;"),
        ("l | first", "c"),
        ("1.8 | floor", "1"),
        ("l | join: '-'", "c-a-b"),
        ("l | last", "b"),
        ("m | map: 'k' | join", "v w"),
        ("3 | minus: 2", "1"),
        ("7 | modulo: 4", "3"),
        ("'a\nb' | newline_to_br", "a<br />\nb"),
        ("3 | plus: 2", "5"),
        ("'b' | prepend: 'a'", "ab"),
        ("'aba' | remove: 'a'", "b"),
        ("'aba' | replace: 'a', 'x'", "xbx"),
        ("l | reverse | join: ''", "bac"),
        ("2.345 | round: 1", "2.3"),
        ("'javascript:alert(1)' | safe_url", "#"),
        ("l | size", "3"),
        ("'abcd' | slice: 1, 2", "bc"),
        ("l | sort | join: ''", "abc"),
        ("'a,b' | split: ',' | join: ';'", "a;b"),
        ("' a ' | strip", "a"),
        ("3 | times: 4", "12"),
        ("'abcdef' | truncate: 4", "a..."),
        ("'a b c' | truncatewords: 2", "a b..."),
        ("'ab' | upcase", "AB"),
        ("'a b&c' | url_encode", "a+b%26c"),
        ("m | where: 'k', 'v' | size", "1"),
    ],
)
def test_every_filter_works(expression, html):
    template = compiled("{{ " + expression + " }}", "l", "m")
    assert template.render({"l": ["c", "a", "b"], "m": [{"k": "v"}, {"k": "w"}]}) == html


def test_the_filters_tried_are_all_there_are():
    tried = test_every_filter_works.pytestmark[0].args[1]
    assert {expression.split("|")[1].split(":")[0].strip() for expression, _ in tried} == set(FILTERS)


@pytest.mark.parametrize(
    "filters",
    [
        "append: '!'",
        "prepend: '!'",
        "capitalize",
        "replace: 'x', name",
        "join",
        "default: 'x'",
        "newline_to_br",
        "slice: 0, 99",
        "split: '' | join: ''",
        "truncate: 99",
        "upcase",
        "remove: 'x'",
        "strip",
        "url_encode",
        "escape",
        "safe_url",
    ],
)
def test_no_filter_takes_the_escaping_off(filters):
    for template in ("{{ name | %s }}", "{%% capture c %%}{{ name }}{%% endcapture %%}{{ c | %s }}"):
        html = compiled(template % filters, "name").render({"name": "<b>\"'"})
        assert not set("<>\"'") & set(html.replace("<br />", ""))
