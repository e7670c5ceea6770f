"""Maps: what ships is well formed, and what is not says where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bespeak.errors import DefinitionError
from bespeak.sources import Section, load_map, parse_map, shipped_maps

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text()
GOOD = """
name: clicks
sections:
  - target: events
    anonymous_id: session
    event: {value: Product Viewed}
    time: {column: at}
    properties: {product_id: item, price: {column: price, as: float}}
"""


def test_maps_ship_and_load_by_name() -> None:
    named = ("cdnow", "complete_journey", "eshop_clothing", "invoices", "ml-100k", "msweb", "yoochoose_100k")
    assert shipped_maps() == named
    assert [load_map(name).name for name in shipped_maps()] == list(shipped_maps())


@pytest.mark.parametrize("shown", re.findall(r"^```yaml\n(name: .*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_the_maps_on_the_page_can_be_read(shown: str) -> None:
    assert parse_map(shown.encode(), where="import.md").sections


def test_every_shipped_map_and_every_field_of_a_section_is_on_the_page() -> None:
    words = {*shipped_maps(), *Section.__struct_fields__}
    assert [word for word in sorted(words) if f"`{word}`" not in PAGE] == []


def test_a_map_is_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "clicks.yaml"
    path.write_text(GOOD)
    assert load_map(path) == load_map(str(path)) == parse_map(GOOD.encode(), where="x")
    assert load_map(path).sections[0].named_columns() == {"session", "at", "item", "price"}


def test_a_name_that_is_none_is_told_those_that_are() -> None:
    with pytest.raises(
        DefinitionError, match="no import map 'shop': give a YAML file, or one of cdnow, complete_journey, es"
    ):
        load_map("shop")


@pytest.mark.parametrize(
    "change, message",
    [
        (("name: clicks", "nme: clicks"), "unknown field `nme`"),
        (("target: events", "target: event"), r"Invalid enum value 'event' - at `\$.sections\[0\].target`"),
        (("    anonymous_id: session\n", ""), "a section of events needs user_id or anonymous_id"),
        (("    time: {column: at}\n", ""), "a section of events needs time"),
        (("    event: {value: Product Viewed}\n", ""), "a section of events needs event"),
        (("{column: at}", "{column: at, value: x}"), "exactly one of column, template, value"),
        (("{column: at}", "{column: at, format: yyyy-mm-dd}"), "a time format is iso, unix, unix_ms or has %"),
        (("{column: at}", "{column: at, zone: Mars/Base}"), "no time zone 'Mars/Base'"),
        (("as: float", "as: money"), "Invalid enum value 'money'"),
        (("as: float", "template: x"), "exactly one of column, template, value, choose"),
        (("column: price, as", "template: price, as"), "names at least one column in braces"),
        (("    time", "    header: false\n    time"), "without a header, columns must name the columns"),
        (("    time", "    columns: [session, at, item]\n    time"), "price: not among the columns session, at, item"),
        (("    time", "    encoding: utf-9\n    time"), "no encoding 'utf-9'"),
        (("    time", "    sequence: {column: n, step: soon}\n    time"), "expected a duration"),
        (("    time", "    group: {by: order, members: {}}\n    time"), "at least one member"),
        (
            ("    time", "    group: {by: order, members: {a: a}, totals: {t: [b]}}\n    time"),
            r"total 't' multiplies members of the group; \['b'\] is none",
        ),
        (("event: {value: Product Viewed}", "event: {choose: [{column: a, then: x}]}"), "exactly one of equals"),
        (
            ("    time", "    join: {goods: item}\n    time"),
            "'events' joins 'goods', which is no section of target table",
        ),
        (("    time", "    take: [a]\n    time"), "key and take belong to a table"),
        (("    time", "    under: {C: {who: 2}}\n    time"), "under belongs to lines"),
        (("    time", "    lines: V\n    time"), "lines are told apart in delimited files without a header"),
        (("clicks", "[clicks"), "not YAML"),
        (("\nname", "\n- name"), "not YAML|a map is an object"),
    ],
)
def test_a_map_that_is_none_says_where_and_why(change: tuple[str, str], message: str) -> None:
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    with pytest.raises(DefinitionError, match=message) as caught:
        parse_map(text.encode(), where="maps/clicks.yaml")
    assert caught.value.message.startswith("maps/clicks.yaml: ")


def test_two_sections_of_one_name_are_refused() -> None:
    text = GOOD + GOOD.partition("sections:\n")[2]
    with pytest.raises(DefinitionError, match="sections must have different names, got events, events"):
        parse_map(text.encode(), where="x")


TABLE = """
  - target: table
    name: goods
    key: id
    take: [brand]
"""


@pytest.mark.parametrize(
    "change, message",
    [
        (("goods.brand", "goods.colour"), "section 'events' reads 'goods.colour', which 'goods' does not take"),
        (("    key: id\n", ""), "a section of table needs key"),
        (("    take: [brand]\n", ""), "a section of table needs take"),
    ],
)
def test_a_table_has_a_key_and_what_is_read_of_it(change: tuple[str, str], message: str) -> None:
    joined = GOOD.replace("price: {column", "brand: goods.brand, price: {column").replace(
        "time:", "join: {goods: item}\n    time:"
    )
    text = joined + TABLE.removeprefix("\n")
    events, goods = parse_map(text.encode(), where="x").sections
    assert (events.named_columns(), events.joined_columns()) == ({"session", "at", "item", "price"}, {"goods.brand"})
    assert goods.named_columns() == {"id", "brand"}
    with pytest.raises(DefinitionError, match=message):
        parse_map(text.replace(*change, 1).encode(), where="x")
