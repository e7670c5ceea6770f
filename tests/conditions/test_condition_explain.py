"""Reasons: what was found, what was asked, until when; in a sentence and as data."""

from __future__ import annotations

import msgspec

from bespeak.clock import DAY, HOUR, NEVER, SECOND
from bespeak.conditions import Explanation, Feeds, compile_condition, parse
from bespeak.events import Event

NOON = 1_700_000_000 * SECOND


class Person:
    def __init__(self, values, states):
        self.values = values
        self.states = states

    def get(self, path):
        return self.values.get(path)

    def state(self, key):
        return self.states.get(key)


def explained(text, values=None, views=(), at=NOON):
    compiled = compile_condition(parse(text))
    feeds, states = Feeds(compiled.depends.aggregates), {}
    for number, time in enumerate(views):
        event = Event(
            type="track", name="Viewed", message_id=f"m{number}", time=time, received=time, properties={"price": 2.5}
        )
        feeds.update(states, event, newest=time, delay=DAY)
    return compiled.explain(Person(values or {}, states), at)


def test_each_part_has_its_text_its_value_what_it_asks_and_when_it_changes():
    why = explained(
        'traits.country = "DE" and count("Viewed", last 1 day) >= 2', {"traits.country": "DE"}, (NOON, NOON)
    )
    assert why == Explanation(
        text='traits.country = "DE" and count("Viewed", last 1 day) >= 2',
        holds=True,
        group="and",
        next_change=NOON + DAY,
        children=(
            Explanation(
                text='traits.country = "DE"', holds=True, operand="traits.country", value="DE", expected='= "DE"'
            ),
            Explanation(
                text='count("Viewed", last 1 day) >= 2',
                holds=True,
                operand='count("Viewed", last 1 day)',
                value=2,
                expected=">= 2",
                next_change=NOON + DAY,
                events=(NOON, NOON),
            ),
        ),
    )
    assert msgspec.json.decode(msgspec.json.encode(why))["children"][1]["next_change"] == NOON + DAY


def test_a_sentence_names_what_decided():
    values = {"traits.country": "DE", "traits.plan": "free"}
    assert explained('traits.country = "DE" or traits.plan = "pro"', values).sentence() == 'traits.country is "DE"'
    assert explained('traits.country = "DE" and traits.plan = "pro"', values).sentence() == 'traits.plan is "free"'
    assert (
        explained('not (traits.country = "DE" and traits.plan = "pro")', values).sentence() == 'traits.plan is "free"'
    )
    assert explained("traits.email is missing", values).sentence() == "traits.email is missing"
    assert explained('performed("Viewed")', values, (NOON,)).sentence() == 'count("Viewed") is 1'
    assert explained('sum(properties.price of "Viewed") > 1', {}, (NOON, NOON)).sentence() == (
        'sum(properties.price of "Viewed") is 5'
    )
    assert explained('in_segment("loyal")', {"segments.loyal": True}).sentence() == "segments.loyal is true"
    assert explained('traits.tags in ["a"]', {"traits.tags": ["a", 1]}).sentence() == 'traits.tags is ["a", 1]'
    assert explained("true").sentence() == "always true"
    assert explained("not true").sentence() == "always false"


def test_a_sentence_has_a_bound():
    long = " and ".join(f'traits.x{number} = "{"y" * 100}"' for number in range(50))
    sentence = explained(long, {f"traits.x{number}": "y" * 100 for number in range(50)}).sentence()
    assert len(sentence) == 500
    assert sentence.endswith("\N{HORIZONTAL ELLIPSIS}")


def test_a_held_and_stands_until_its_first_part_turns_and_a_failed_one_until_its_last():
    both = compile_condition(parse('performed("Viewed", last 1 hour) and count("Viewed", last 1 day) >= 1'))
    neither = compile_condition(parse('not performed("Viewed", last 1 hour) and not performed("Viewed", last 1 day)'))
    never = compile_condition(parse('traits.vip = true and not performed("Viewed", last 1 hour)'))
    feeds, states = Feeds([*both.depends.aggregates, *never.depends.aggregates]), {}
    feeds.update(
        states, Event(type="track", name="Viewed", message_id="m", time=NOON, received=NOON), newest=NOON, delay=DAY
    )
    person = Person({}, states)
    assert both.answer(person, NOON) == (True, NOON + HOUR)
    assert neither.answer(person, NOON) == (False, NOON + DAY)
    assert neither.answer(person, NOON + DAY) == (True, NEVER)
    assert never.answer(person, NOON) == (False, NEVER)


def test_what_a_condition_depends_on_is_told():
    depends = compile_condition(
        parse(
            'traits.a = 1 and (performed("E", last 1 day) or count("E", last 1 day) > 3) and in_segment("loyal") '
            'and last(properties.x of "F" where properties.y = 1) exists'
        )
    ).depends
    assert depends.paths == {"traits.a"}
    assert depends.segments == {"loyal"}
    assert depends.events == {"E", "F"}
    assert [aggregate.kind for aggregate in depends.aggregates] == ["count", "last"]


def test_only_a_condition_with_a_window_changes_by_itself():
    assert not compile_condition(parse('count("E") > 3 and traits.a = 1')).windowed
    assert compile_condition(parse('not (traits.a = 1 or performed("E", last 1 day))')).windowed


def parts(why):
    """Return every leaf of an explanation, with whether it decides."""
    if not why.children:
        return {why.text: why.decides}
    return {text: decides for child in why.children for text, decides in parts(child).items()}


def test_each_leaf_says_whether_it_decides():
    values = {"traits.country": "DE", "traits.plan": "free"}
    germany, pro = 'traits.country = "DE"', 'traits.plan = "pro"'
    assert parts(explained(f"{germany} or {pro}", values)) == {germany: True, pro: False}
    assert parts(explained(f"{germany} and {pro}", values)) == {germany: False, pro: True}
    assert parts(explained(f"not ({germany} and {pro})", values)) == {germany: False, pro: True}
    both = explained(f"({germany} or {pro}) and {pro}", values)
    assert [child.decides for child in both.children] == [False, True]
    assert not any(leaf.decides for leaf in both.children[0].children), "in what does not decide nothing does"
    assert explained(f"not {pro}", values).children[0].decides


def test_a_leaf_names_the_newest_events_behind_it():
    views = tuple(NOON + place for place in range(20))
    assert explained('count("Viewed", last 1 day) >= 2', views=views, at=NOON + 30).events == views[:-11:-1]
    assert explained('count("Viewed", last 1 day) >= 2', views=views, at=NOON + DAY + 17).events == views[:-3:-1]
    assert explained('last(properties.price of "Viewed") = 2.5', views=views).events == (NOON + 19,)
    assert explained('first(properties.price of "Viewed", this month) = 2.5', views=views, at=NOON + 30).events == (
        NOON,
    )
    assert explained('max(properties.price of "Viewed", last 1 day) = 2.5', views=views[:2], at=NOON + 9).events == (
        NOON + 1,
        NOON,
    )
    assert explained('count("Viewed") >= 2', views=views).events == (), "what only counts knows no times"
    assert explained("traits.a = 1", {"traits.a": 1}).events == ()


def test_the_next_change_of_a_group_is_the_one_that_changes_it():
    """Asked alone, `or` must be asked again when the last of its parts that hold turns; that need not turn it."""
    text = 'count("Viewed", last 1 hour) = 1 or count("Viewed", last 1 hour) = 2'
    assert explained(text, views=(NOON, NOON + 1), at=NOON + 2).next_change == NOON + 1 + HOUR
