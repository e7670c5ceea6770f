"""Pictures: well-formed SVG of our own, the same for the same item, and different for different goods."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from bespeak.catalog.item import Item
from bespeak.testing.world import KINDS, World
from bespeak.testing.world_pictures import picture
from bespeak.testing.world_shapes import SHAPES

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def town() -> World:
    return World(7, people=1, items=500)


def test_every_item_has_a_well_formed_picture_with_its_title(town: World) -> None:
    for item in town.items:
        root = ET.fromstring(picture(item))
        assert root.tag == f"{SVG}svg"
        assert root.findtext(f"{SVG}title") == item.title


def test_a_picture_loads_nothing_and_runs_nothing(town: World) -> None:
    for item in town.items:
        text = picture(item).replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|href|<script|<image|\bon\w+=", text)


def test_every_reference_in_a_picture_is_defined_in_it(town: World) -> None:
    for item in town.items:
        text = picture(item)
        assert set(re.findall(r"url\(#(\w+)\)", text)) <= set(re.findall(r'id="(\w+)"', text))


def test_the_same_item_has_the_same_picture_and_others_have_others(town: World) -> None:
    pictures = [picture(item) for item in town.items]
    assert pictures == [picture(item) for item in town.items]
    assert len(set(pictures)) == len(pictures)
    without_names = {re.sub(r"<title>.*?</title>|[a-z]+\d{4}[a-z]", "", text) for text in pictures}
    assert len(without_names) > 0.95 * len(pictures)


def test_a_picture_is_small_enough_to_send_a_page_of_them(town: World) -> None:
    assert max(len(picture(item)) for item in town.items) < 8_000


def test_every_kind_of_goods_has_its_own_shapes() -> None:
    used = [shape for kind in KINDS for _, shape in kind.shapes]
    assert sorted(used) == sorted(set(used)) == sorted(SHAPES)


def test_a_title_is_escaped() -> None:
    item = Item(id="x-1", title='<b>"&', properties={"color": "Moss", "shape": "mug", "style": "minimal"})
    assert ET.fromstring(picture(item)).findtext(f"{SVG}title") == '<b>"&'


def test_an_item_of_elsewhere_has_no_picture() -> None:
    with pytest.raises(KeyError):
        picture(Item(id="x"))
