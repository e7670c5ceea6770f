"""Blocks: which one a slot shows, what its variables are, and what is refused when it is read."""

from __future__ import annotations

import msgspec
import pytest
from markupsafe import Markup

from bespeak import content
from bespeak.content import Block, Chosen, FellBack, NoBlock, Rendered
from bespeak.errors import ConditionError, DefinitionError, TemplateError

PLAIN = {"id": "hello", "slot": "hero", "always": True, "template": "<p>Hi</p>", "fallback": "<p>Hello</p>"}
NAMED = PLAIN | {
    "template": "<p>Hello {{ name }}</p>",
    "variables": {"name": {"path": "traits.first_name", "fallback": "you"}},
}


class Person:
    def __init__(self, known: dict[str, object] | None = None) -> None:
        self.known = known or {}

    def get(self, path: str, /) -> object:
        return self.known.get(path)

    def state(self, key: str, /) -> None:
        return None


def block(**changes) -> Block:
    return content.load({**PLAIN, **changes}, source="hero.yaml")


def shown(raw: dict[str, object], known: dict[str, object]) -> str:
    made = content.load(raw, source="hero.yaml")
    answer = content.render(made, content.variables(made, Person(known)))
    assert isinstance(answer, Rendered), answer
    return answer.html


# ---- variables


def test_a_variable_is_what_its_path_holds():
    assert shown(NAMED, {"traits.first_name": "Ada"}) == "<p>Hello Ada</p>"


@pytest.mark.parametrize("missing", [None, "", "   "])
def test_a_missing_or_blank_value_is_the_fallback(missing):
    assert shown(NAMED, {"traits.first_name": missing}) == "<p>Hello you</p>"


@pytest.mark.parametrize("value, text", [(0, "0"), (False, "false"), (1.5, "1.5"), (True, "true")])
def test_zero_and_false_are_values(value, text):
    assert shown(NAMED, {"traits.first_name": value}) == f"<p>Hello {text}</p>"


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\" onclick='x", "a & b", Markup("<b>x</b>")])
def test_what_a_visitor_says_of_itself_is_escaped(text):
    html = shown(NAMED | {"template": '<p title="{{ name }}">{{ name }}</p>'}, {"traits.first_name": text})
    inside = html.removeprefix('<p title="').removesuffix("</p>")
    assert not set("<>'") & set(inside.replace('">', "", 1))
    assert inside.count('"') == 1
    assert Markup(html).striptags() == str(text)


def test_a_list_and_a_mapping_can_be_walked():
    raw = PLAIN | {
        "template": "{% for t in tags %}<i>{{ t }}</i>{% endfor %}{{ cart.total }}{{ tags | join: ', ' }}",
        "variables": {
            "tags": {"path": "traits.tags", "fallback": ["new"]},
            "cart": {"path": "traits.cart", "fallback": ""},
        },
    }
    assert (
        shown(raw, {"traits.tags": ("a", "<b>"), "traits.cart": {"total": 3}})
        == "<i>a</i><i>&lt;b&gt;</i>3a, &lt;b&gt;"
    )
    assert shown(raw | {"template": "{{ tags | first }}"}, {}) == "new"


def test_a_missing_part_of_a_value_is_falsy_takes_a_default_and_cannot_be_shown():
    variables = {"cart": {"path": "traits.cart", "fallback": 0}}
    known = {"traits.cart": {"total": 3}}
    raw = PLAIN | {"variables": variables, "template": "{% if cart.sale %}x{% else %}y{% endif %}"}
    assert shown(raw, known) == "y"
    assert shown(raw | {"template": "{{ cart.sale | default: 'none' }}"}, known) == "none"
    made = content.load(raw | {"template": "a\n{{ cart.sale }}"}, source="x")
    assert content.render(made, {"cart": {}}) == FellBack("<p>Hello</p>", "line 2: cart.sale is undefined")


def test_names_that_are_not_declared_are_not_seen():
    made = content.load(NAMED, source="x")
    assert content.render(made, {"name": "Ada", "other": "x", "now": 1}) == Rendered("<p>Hello Ada</p>")
    assert content.render(made, {}) == Rendered("<p>Hello you</p>")


def test_a_value_of_no_known_type_falls_back_with_the_reason():
    made = content.load(NAMED, source="x")
    answer = content.render(made, {"name": object()})
    assert isinstance(answer, FellBack)
    assert answer.reason == "TypeError: variable 'name': expected text, number, flag, list or mapping, found object"


# ---- choosing


def test_the_block_with_the_highest_priority_that_holds_is_chosen_then_the_first_id():
    vip = block(id="vip", priority=5, always=False, condition="traits.vip = true")
    blocks = [block(id="b"), block(id="a"), block(id="off", priority=9, enabled=False), vip]
    for order in (blocks, blocks[::-1]):
        assert content.choose(order, "hero", Person({"traits.vip": True}), 0) == Chosen(vip, "traits.vip = true")
        chosen = content.choose(order, "hero", Person(), 0)
        assert isinstance(chosen, Chosen)
        assert (chosen.block.id, chosen.reason) == ("a", "always")


def test_where_no_block_holds_the_answer_says_so():
    only = block(always=False, condition="traits.vip = true")
    assert content.choose([only], "hero", Person(), 0) == NoBlock(
        "hero", "none of the 1 blocks of slot 'hero' holds for this visitor"
    )
    assert content.choose([only], "foot", Person(), 0) == NoBlock("foot", "no block is defined for slot 'foot'")


def test_explain_shows_each_block_in_order_with_the_values_its_condition_saw():
    blocks = [
        block(id="low"),
        block(id="no", priority=2, always=False, condition="traits.age >= 18"),
        block(id="yes", priority=1, always=False, condition="traits.age < 18"),
    ]
    found = content.explain(blocks, "hero", Person({"traits.age": 12}), 0)
    assert [(c.block, c.holds, c.chosen, c.reason) for c in found] == [
        ("no", False, False, "traits.age >= 18"),
        ("yes", True, True, "traits.age < 18"),
        ("low", True, False, "always"),
    ]
    assert [c.explanation.value for c in found[:2] if c.explanation] == [12, 12]


# ---- reading


def test_a_block_writes_back_as_it_was_read():
    made = content.load(NAMED | {"priority": 3}, source="x", version=4)
    again = {name: value for name, value in msgspec.to_builtins(made).items() if name != "version"}
    assert content.load(again, source="x", version=4) == made


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"always": False}, "hero.yaml: block 'hello': give either a condition, or always: true; got neither"),
        ({"condition": "traits.x = 1"}, "give either a condition, or always: true; got both"),
        ({"slot": ""}, "slot must have 1 to 100 characters, got 0"),
        ({"priority": "high"}, "priority: expected a whole number, found 'high'"),
        ({"variables": {"a": {"path": "traits.a"}}}, "variables.a.fallback: is missing"),
        ({"variables": {"a": {"path": "", "fallback": 1}}}, "variables.a: path must have 1 to 200 characters"),
        ({"variables": {"First": {"path": "traits.a", "fallback": 1}}}, "a variable is named by a-z, .* got 'First'"),
        ({"variables": {"forloop": {"path": "traits.a", "fallback": 1}}}, "not by a word of Liquid, got 'forloop'"),
        ({"variables": {f"v{i}": {"path": "p", "fallback": 1} for i in range(51)}}, "at most 50 variables, got 51"),
        ({"fallback": "x" * 65_537}, "fallback has at most 65,536 bytes"),
        ({"templat": "x"}, "templat: unknown field; did you mean 'template'"),
        ({"template": "hero.liquid"}, "'hero.liquid' names a file, and files are read from a project folder only"),
    ],
)
def test_a_wrong_block_is_refused_with_file_field_and_value(changes, words):
    with pytest.raises(DefinitionError, match=words):
        block(**changes)


def test_a_block_without_a_fallback_is_refused():
    with pytest.raises(DefinitionError, match="fallback: is missing; every block has it"):
        content.load({k: v for k, v in PLAIN.items() if k != "fallback"}, source="hero.yaml")


def test_a_wrong_condition_is_refused_when_the_block_is_read():
    with pytest.raises(ConditionError, match=r"hero\.yaml: condition: "):
        block(always=False, condition="traits.x = ")


def test_a_template_beside_the_file_is_put_in_its_place(tmp_path):
    (tmp_path / "hero.liquid").write_text("<p>Ä {{ name }}</p>", encoding="utf-8")
    raw = content.inline_template(NAMED | {"template": "hero.liquid"}, beside=tmp_path, source="hero.yaml")
    assert shown(dict(raw), {}) == "<p>Ä you</p>"
    assert content.inline_template(NAMED, beside=tmp_path, source="x") == NAMED


@pytest.mark.parametrize("name", ["../hero.liquid", "/etc/hero.liquid", "a/b.liquid", "..liquid"])
def test_a_name_that_leads_elsewhere_is_text_and_not_a_file(name, tmp_path):
    (tmp_path.parent / "hero.liquid").write_text("secret")
    assert content.inline_template(PLAIN | {"template": name}, beside=tmp_path, source="x")["template"] == name


def test_a_template_file_that_cannot_be_read_is_refused_with_its_name(tmp_path):
    (tmp_path / "latin.liquid").write_bytes(b"\xe9")
    (tmp_path / "long.liquid").write_text("x" * 20_001)
    for name, words in [
        ("none.liquid", "cannot read 'none.liquid'"),
        ("latin.liquid", "cannot read 'latin.liquid'"),
        ("long.liquid", "'long.liquid' has more than 20,000 characters"),
    ]:
        with pytest.raises(TemplateError, match=words):
            content.inline_template(PLAIN | {"template": name}, beside=tmp_path, source="hero.yaml")
