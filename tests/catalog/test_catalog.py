"""The catalog against a plain dict of items, and its columns against reading every item."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.catalog import ATTRIBUTES_MAX, COLUMNS_MAX, Catalog, Item
from bespeak.errors import TooLarge

ids = st.sampled_from("abcdefgh")
items = st.builds(
    Item,
    id=ids,
    brand=st.sampled_from(["", "acme", "zeta"]),
    categories=st.sampled_from([(), ("shoes",), ("shoes", "boots"), ("hats",)]),
    tags=st.sampled_from([(), ("red",), ("red", "warm")]),
    price=st.none() | st.floats(0, 100),
    stock=st.none() | st.integers(0, 2),
    hidden=st.booleans(),
    created=st.integers(0, 10**15),
    properties=st.dictionaries(st.sampled_from(["size", "colour"]), st.none() | st.integers(0, 9) | st.just("x")),
)
steps = st.lists(st.one_of(st.lists(items, max_size=4), ids, st.just(None)), max_size=20)


def showable(item: Item | None) -> bool:
    return item is not None and not item.hidden and item.stock != 0


def check(catalog: Catalog, known: dict[str, Item]) -> None:
    by_row = [known.get(item_id) for item_id in catalog.ids]
    assert len(catalog) == len(known)
    assert catalog.items() == [item for item in by_row if item is not None]
    assert catalog.showable().tolist() == [row for row, item in enumerate(by_row) if showable(item)]
    for category in ("shoes", "boots", "none"):
        wanted = [row for row, item in enumerate(by_row) if showable(item) and category in item.categories]
        assert catalog.category_rows(category).tolist() == wanted
    assert catalog.columns["item.brand"].tolist() == [item.brand if item else None for item in by_row]
    assert catalog.columns["item.categories"].tolist() == [item.categories if item else None for item in by_row]
    assert catalog.columns["item.hidden"].tolist() == [item.hidden if item else True for item in by_row]
    for name in ("price", "created", "stock"):
        wanted = [getattr(item, name) if item else None for item in by_row]
        np.testing.assert_array_equal(catalog.columns[f"item.{name}"], np.array(wanted, float))
    for name in ("size", "colour", "nowhere"):
        wanted = [item.properties.get(name) if item else None for item in by_row]
        found = catalog.columns[f"item.properties.{name}"]
        assert len(found) == catalog.rows
        if found.dtype == np.float64:
            np.testing.assert_array_equal(found, np.array(wanted, float))
        else:
            assert found.tolist() == wanted


@given(steps)
def test_any_sequence_of_changes_leaves_what_a_dict_and_a_reading_of_all_items_give(script) -> None:
    catalog, known = Catalog(), dict[str, Item]()
    rows: dict[str, int] = {}
    for step in script:
        if isinstance(step, list):
            fresh = sum(known.get(item.id) != item for item in {item.id: item for item in step}.values())
            assert catalog.put(step) >= fresh
            known.update({item.id: item for item in step})
        elif step is not None:
            assert catalog.remove([step]) == (known.pop(step, None) is not None)
        else:
            check(catalog, known)
        for item_id in known:
            assert rows.setdefault(item_id, catalog.row(item_id)) == catalog.row(item_id), "rows are stable"
    check(catalog, known)


def test_an_item_that_was_removed_is_unknown_and_comes_back_in_its_row() -> None:
    catalog = Catalog([Item(id="a"), Item(id="b")])
    catalog.remove(["a"])
    assert (catalog.row("a"), catalog.item("a"), "a" in catalog, catalog.item_at(0)) == (None, None, False, None)
    assert (catalog.last_row("a"), catalog.rows, len(catalog)) == (0, 2, 1)
    catalog.put([Item(id="c"), Item(id="a")])
    assert (catalog.row("a"), catalog.row("c")) == (0, 2)


def test_the_version_moves_only_when_something_changed() -> None:
    catalog = Catalog([Item(id="a", price=1.0)])
    version = catalog.version
    assert catalog.put([Item(id="a", price=1.0)]) == 0
    assert catalog.remove(["nobody"]) == 0
    assert catalog.version == version
    assert catalog.put([Item(id="a", price=2.0), Item(id="b")]) == 2
    assert catalog.version == version + 1


def test_more_rows_than_the_limit_are_refused_as_a_whole() -> None:
    catalog = Catalog([Item(id="a")], limit=2)
    with pytest.raises(TooLarge, match=r"holds 1 rows and at most 2; 2 more do not fit"):
        catalog.put([Item(id="b"), Item(id="c")])
    assert catalog.items() == [Item(id="a")]
    catalog.put([Item(id="b"), Item(id="a", price=3.0)])
    assert len(catalog) == 2


def test_a_column_of_numbers_becomes_one_of_objects_when_text_comes() -> None:
    catalog = Catalog([Item(id="a", properties={"size": 4}), Item(id="b")])
    np.testing.assert_array_equal(catalog.columns["item.properties.size"], [4.0, math.nan])
    catalog.put([Item(id="b", properties={"size": "large"})])
    assert catalog.columns["item.properties.size"].tolist() == [4, "large"]


def test_a_boolean_property_stays_a_boolean() -> None:
    catalog = Catalog([Item(id="a", properties={"sale": True}), Item(id="b")])
    assert catalog.columns["item.properties.sale"].tolist() == [True, None]


def test_a_dotted_path_reads_a_nested_property_and_the_plain_name_goes_first() -> None:
    nested, plain = Item(id="a", properties={"size": {"eu": 42}}), Item(id="b", properties={"size.eu": 43})
    assert Catalog([nested, plain]).columns["item.properties.size.eu"].tolist() == [42.0, 43.0]


def test_a_path_that_items_do_not_have_is_a_key_error_and_columns_list_what_they_hold() -> None:
    catalog = Catalog([Item(id="a", properties={"size": 4})])
    with pytest.raises(KeyError, match=r"item\.colour"):
        catalog.columns["item.colour"]
    assert catalog.columns.get("traits.country") is None
    assert {"item.price", "item.tags", "item.properties.size"} <= set(catalog.columns)
    assert len(catalog.columns) == len(list(catalog.columns))


def test_columns_are_read_only() -> None:
    column = Catalog([Item(id="a", price=1.0)]).columns["item.price"]
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 2.0


def test_the_number_of_kept_columns_is_bounded() -> None:
    catalog = Catalog([Item(id="a", properties={"x": 1})])
    for number in range(2 * COLUMNS_MAX):
        assert len(catalog.columns[f"item.properties.p{number}"]) == 1
    assert len(catalog.columns._made) <= COLUMNS_MAX
    assert catalog.columns["item.properties.x"].tolist() == [1.0]


def test_newest_goes_by_creation_and_by_row_where_all_are_alike() -> None:
    dated = Catalog([Item(id="a", created=5), Item(id="b", created=9), Item(id="c", created=7)])
    assert np.argsort(-dated.newest()).tolist() == [1, 2, 0]
    alike = Catalog([Item(id="a"), Item(id="b"), Item(id="c")])
    assert np.argsort(-alike.newest()).tolist() == [2, 1, 0]
    for catalog in (dated, alike, Catalog()):
        assert ((catalog.newest() >= 0) & (catalog.newest() <= 1)).all()


def test_likeness_is_the_cosine_of_attributes_weighted_by_rarity() -> None:
    catalog = Catalog(
        [
            Item(id="a", categories=("shoes",), tags=("red",)),
            Item(id="b", categories=("shoes",), tags=("blue",)),
            Item(id="c", categories=("hats",), tags=("red",)),
            Item(id="d", categories=("hats",), tags=("green",)),
            Item(id="e"),
        ]
    )
    common, rare = math.log(6 / 3), math.log(6 / 2)  # 5 items; two have a common attribute, one a rare one
    assert catalog.attributes.similarity(0, 0) == pytest.approx(1)
    lengths = math.hypot(common, common) * math.hypot(common, rare)
    assert catalog.attributes.similarity(0, 1) == pytest.approx(common**2 / lengths)
    assert catalog.attributes.similarity(0, 3) == 0
    assert catalog.attributes.similarity(0, 4) == 0


@given(st.lists(items, min_size=1, max_size=30), st.lists(items, max_size=8))
def test_likeness_after_changes_points_the_same_way_as_a_catalog_built_anew(first, later) -> None:
    """A mended row uses the rarities of the last count: no likeness is above 1, and only shared names give any."""
    catalog = Catalog(first)
    catalog.attributes.similarity(0, 0)
    catalog.put(later)
    anew = Catalog(catalog.items())
    rows = np.arange(catalog.rows)
    mended, made = catalog.attributes.select(rows), anew.attributes.select(rows)
    for row in rows:
        assert (mended.to(row) <= 1 + 1e-5).all()
        for other in np.flatnonzero(made.to(row) > 0):
            names = [{*item.categories, *item.tags} for item in (catalog.item_at(row), catalog.item_at(other))]
            assert names[0] & names[1]


def test_an_item_counts_with_a_bounded_number_of_attributes_the_narrowest_categories_first() -> None:
    many = tuple(f"c{number}" for number in range(40))
    catalog = Catalog(
        [Item(id="a", categories=many), Item(id="b", categories=("c39",)), Item(id="c", categories=("c0",))]
    )
    assert ATTRIBUTES_MAX < 40
    assert catalog.attributes.similarity(0, 1) > 0
    assert catalog.attributes.similarity(0, 2) == 0
