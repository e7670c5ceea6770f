"""Templates that would take for ever, or everything: each ends by a limit, with the fallback and the reason."""

from __future__ import annotations

import pytest

from bespeak import content
from bespeak.content import FellBack, Rendered

BIG = "x" * 16_000
WORDS = [f"{'a' * 100}{i}" for i in range(900)]


def render(template: str, **values: object) -> content.Rendering:
    variables = {name: {"path": f"traits.{name}", "fallback": ""} for name in values}
    raw = {"id": "x", "slot": "s", "always": True, "template": template, "fallback": "static", "variables": variables}
    block = content.load(raw, source="x.yaml")
    return content.render(block, values)


@pytest.mark.parametrize(
    "template, values, reason",
    [
        pytest.param(
            "{% for a in (1..100000000) %}{% for b in (1..100000000) %}{{ b }}{% endfor %}{% endfor %}",
            {},
            "loop iteration limit reached",
            id="huge nested ranges",
        ),
        pytest.param(
            "{% for a in (1..9999) %}{% for b in (1..9999) %}{% endfor %}{% endfor %}",
            {},
            "loop iteration limit reached",
            id="nested loops with nothing in them",
        ),
        pytest.param(
            "{% for a in (1..9999) %}{% endfor %}" * 400, {}, "20,000 steps", id="many loops, one after another"
        ),
        pytest.param(
            "{% for a in (1..9999) %}" + "{% assign x = a %}" * 900 + "{% endfor %}",
            {},
            "20,000 steps",
            id="a long body",
        ),
        pytest.param(
            "{% for a in (1..1000000000000) offset: 999999999990 %}x{% endfor %}",
            {},
            "loop iteration limit reached",
            id="an offset far into a range",
        ),
        pytest.param(
            "{% for a in (1..1000000000) reversed %}x{% endfor %}", {}, "loop iteration limit reached", id="reversed"
        ),
        pytest.param(
            "{% for a in (1..n) limit: 3 %}x{% endfor %}",
            {"n": 10**12},
            "loop iteration limit reached",
            id="a range as long as a visitor says",
        ),
        pytest.param(
            "{% case 1 %}{% when 1, 1, 1, 1, 1, 1 %}" * 19 + "{% assign x = 1 %}" + "{% endcase %}" * 19,
            {},
            "20,000 steps",
            id="a case that renders its block six times, nineteen deep",
        ),
        pytest.param("{{ s | replace: 'x', s }}", {"s": BIG}, "replace makes 256,000,000 characters", id="replace"),
        pytest.param(
            "{% assign s = 'x' %}" + "{% assign s = s | append: s %}" * 60,
            {},
            "a text of 32,768 characters",
            id="doubling",
        ),
        pytest.param(
            "{{ s " + "| append: s" * 500 + " }}", {"s": BIG}, "a text of 32,000 characters", id="a long chain"
        ),
        pytest.param(
            "{% assign l = s | split: ',' %}" + "{% assign l = l | concat: l %}" * 40,
            {"s": BIG},
            "a list of 1,024 elements",
            id="doubling a list",
        ),
        pytest.param(
            "{% assign l = s | split: ',' %}" + "{% assign l = l | concat: l %}" * 9 + "{{ l | join: '' }}",
            {"s": BIG},
            "join makes more than 16,384 characters",
            id="one long text many times in a list",
        ),
        pytest.param(
            "{% assign x = 7 %}" + "{% assign x = x | times: x %}" * 60,
            {},
            "more than 256 bits",
            id="squaring a number",
        ),
        pytest.param("{% for a in (1..9000) %}{{ s }}{% endfor %}", {"s": BIG}, "output stream limit", id="output"),
        pytest.param(
            "{% for a in (1..9000) %}{% capture c %}{{ s }}{% endcapture %}{% endfor %}",
            {"s": "&" * 3000},
            "20,000 steps",
            id="capturing",
        ),
        pytest.param(
            "{% for a in (1..9000) %}{% if " + " or ".join(["s contains t"] * 100) + " %}{% endif %}{% endfor %}",
            {"s": "a" * 16_000, "t": "a" * 8_000 + "b"},
            "20,000 steps",
            id="searching",
        ),
        pytest.param(
            "{% for a in (1..9000) %}{% assign x = l | sort | reverse | map: 'q' %}{% endfor %}",
            {"l": WORDS},
            "20,000 steps",
            id="sorting",
        ),
        pytest.param(
            "{% for a in (1..999) %}{% assign y = s | upcase | downcase %}{% endfor %}",
            {"s": BIG},
            "20,000 steps",
            id="filters on a long text",
        ),
        pytest.param("{{ s }}", {"s": "x" * 16_385}, "a text of 16,385 characters", id="a variable that is too long"),
        pytest.param("{{ l | size }}", {"l": [1] * 1_001}, "a list of 1,001 elements", id="a list that is too long"),
        pytest.param("{{ '1e999' | times: 1 | ceil }}", {}, "cannot convert float infinity", id="infinity"),
        pytest.param("{{ 1 | divided_by: 0 }}", {}, "can't divide by 0", id="division by zero"),
        pytest.param("{{ 'now' | date }}", {}, "expected an ISO 8601 time, found 'now'", id="the clock"),
        pytest.param("{{ l }}", {"l": ["a"]}, "a list cannot be shown", id="a list as it is"),
        pytest.param("{{ l | join }}", {"l": [["a"]]}, "found a list or mapping inside", id="a list in a list"),
    ],
)
def test_what_takes_too_much_falls_back_in_time_with_the_reason(template, values, reason):
    answer = render(template, **values)
    assert isinstance(answer, FellBack)
    assert answer.html == "static"
    assert reason in answer.reason


@pytest.mark.parametrize(
    "template, values, html",
    [
        ("{{ s | truncate: 1000000000000 }}", {"s": "abc"}, "abc"),
        ("{{ 5.5 | round: 1000000000 }}{{ 5 | round: -1000000000 }}", {}, "5.50"),
        ("{{ 0 | date: '%1000000000d' | size }}", {}, "0"),
        ("{{ s | slice: 0, 9223372036854775807 }}", {"s": "abc"}, "abc"),
    ],
)
def test_a_large_argument_costs_nothing(template, values, html):
    answer = render(template, **values)
    assert answer == Rendered(html)


def test_a_page_of_a_hundred_rows_stays_far_below_the_limits():
    rows = "{% for row in rows %}<tr><td>{{ row.a }}</td><td>{{ row.b | upcase | truncate: 10 }}</td></tr>{% endfor %}"
    answer = render(rows, rows=[{"a": i, "b": f"name {i}"} for i in range(100)])
    assert isinstance(answer, Rendered)
    assert answer.html.count("<tr>") == 100


def test_rendering_again_gives_the_same_and_starts_counting_anew():
    variables = {"n": {"path": "traits.n", "fallback": 1}}
    template = "{% for a in (1..n) %}{% assign x = a %}{% endfor %}{{ x }}"
    raw = {"id": "x", "slot": "s", "always": True, "template": template, "fallback": "static", "variables": variables}
    block = content.load(raw, source="x.yaml")
    answers = {content.render(block, {"n": 3_000}) for _ in range(20)}
    assert answers == {Rendered("3000")}
    assert isinstance(content.render(block, {"n": 9_000}), FellBack)
