"""The words of the town's shop: kinds of goods, colours, styles and names, all made up for it."""

from __future__ import annotations

import msgspec


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One of the shop's categories, and what its goods are like.

    Parameters
    ----------
    key, department
        Narrow and wide category, as they stand in `Item.categories`.
    shapes
        Product type (as in a title) and the shape it is drawn with.
    materials
        Material, as in a title, and a sentence about it.
    price, spread
        Median price in euro, and the standard deviation of its logarithm.
    appeal
        How many people favour it, relative to the others.
    companions
        Categories that the same people tend to like.
    """

    key: str
    department: str
    title: str
    shapes: tuple[tuple[str, str], ...]
    materials: tuple[tuple[str, str], ...]
    price: float
    spread: float
    appeal: float
    companions: tuple[str, ...]


DEPARTMENTS: dict[str, str] = {"home": "Living", "kitchen": "Kitchen", "clothing": "Clothing", "outdoors": "Outdoors"}

KINDS: tuple[Kind, ...] = (
    Kind(
        key="lamps",
        department="home",
        title="Lamps",
        shapes=(("Table Lamp", "table_lamp"), ("Pendant Light", "pendant"), ("Tripod Lamp", "tripod_lamp")),
        materials=(
            ("Linen", "The linen shade turns any bulb into evening light."),
            ("Oak", "Turned from solid oak and oiled, never varnished."),
            ("Brass", "Brushed brass that grows warmer with the years."),
        ),
        price=89.0,
        spread=0.45,
        appeal=1.0,
        companions=("vases", "cushions"),
    ),
    Kind(
        key="vases",
        department="home",
        title="Vases",
        shapes=(("Bottle Vase", "bottle_vase"), ("Round Vase", "round_vase"), ("Jug Vase", "jug_vase")),
        materials=(
            ("Stoneware", "Thrown by hand, so no two have quite the same shoulder."),
            ("Glazed", "Three coats of glaze give it depth in low light."),
            ("Terracotta", "Raw outside, sealed inside: it holds water and keeps its chalky touch."),
        ),
        price=42.0,
        spread=0.5,
        appeal=0.7,
        companions=("lamps", "cushions", "mugs"),
    ),
    Kind(
        key="cushions",
        department="home",
        title="Cushions & Throws",
        shapes=(("Cushion", "cushion"), ("Folded Throw", "throw")),
        materials=(
            ("Washed Linen", "Stone-washed, so that it is soft from the first evening."),
            ("Wool", "Woven from undyed and dyed lambswool in small runs."),
            ("Cotton", "Heavy cotton that takes a hot wash without complaint."),
        ),
        price=39.0,
        spread=0.4,
        appeal=0.8,
        companions=("lamps", "vases", "knitwear"),
    ),
    Kind(
        key="mugs",
        department="kitchen",
        title="Mugs & Cups",
        shapes=(("Mug", "mug"), ("Cup & Saucer", "cup"), ("Tumbler", "tumbler")),
        materials=(
            ("Stoneware", "Fits the hand, keeps the heat and forgives the dishwasher."),
            ("Porcelain", "Thin at the lip and stronger than it looks."),
            ("Enamel", "Light, bright and made to be dropped."),
        ),
        price=18.0,
        spread=0.35,
        appeal=1.5,
        companions=("teapots", "pans"),
    ),
    Kind(
        key="teapots",
        department="kitchen",
        title="Teapots & Kettles",
        shapes=(("Teapot", "teapot"), ("Kettle", "kettle")),
        materials=(
            ("Stoneware", "Pours without a drip: we tried it two hundred times."),
            ("Cast Iron", "Keeps a second pot warm for an hour."),
            ("Steel", "Brushed steel, with a handle that stays cool."),
        ),
        price=58.0,
        spread=0.4,
        appeal=0.6,
        companions=("mugs", "vases"),
    ),
    Kind(
        key="pans",
        department="kitchen",
        title="Pots & Pans",
        shapes=(("Casserole", "casserole"), ("Saucepan", "saucepan"), ("Frying Pan", "frying_pan")),
        materials=(
            ("Cast Iron", "From the hob to the oven to the table, for decades."),
            ("Enamel", "Heats evenly and washes clean in a minute."),
            ("Copper Core", "Answers to the flame at once."),
        ),
        price=79.0,
        spread=0.45,
        appeal=0.9,
        companions=("mugs", "teapots"),
    ),
    Kind(
        key="knitwear",
        department="clothing",
        title="Knitwear",
        shapes=(("Jumper", "jumper"), ("Beanie", "beanie")),
        materials=(
            ("Lambswool", "Spun thick, knitted loose: warm without weight."),
            ("Merino", "Fine enough to wear on the skin."),
            ("Cotton Knit", "For the months that cannot decide."),
        ),
        price=74.0,
        spread=0.45,
        appeal=1.3,
        companions=("shirts", "shoes"),
    ),
    Kind(
        key="shirts",
        department="clothing",
        title="Shirts & Tees",
        shapes=(("Tee", "tee"), ("Shirt", "shirt")),
        materials=(
            ("Organic Cotton", "Heavy jersey that keeps its shape wash after wash."),
            ("Linen", "Cool in August, better with every crease."),
            ("Oxford", "Woven tight and brushed once for softness."),
        ),
        price=38.0,
        spread=0.4,
        appeal=1.6,
        companions=("knitwear", "shoes"),
    ),
    Kind(
        key="shoes",
        department="clothing",
        title="Shoes",
        shapes=(("Sneaker", "sneaker"), ("Ankle Boot", "boot")),
        materials=(
            ("Canvas", "Vulcanised by hand and easy to resole."),
            ("Suede", "Brushed suede on a cork footbed."),
            ("Leather", "Vegetable-tanned leather that learns your step."),
        ),
        price=98.0,
        spread=0.4,
        appeal=1.2,
        companions=("shirts", "knitwear", "backpacks"),
    ),
    Kind(
        key="backpacks",
        department="outdoors",
        title="Backpacks",
        shapes=(("Daypack", "backpack"), ("Roll-top Pack", "rolltop")),
        materials=(
            ("Waxed Canvas", "Rewax it once a year and hand it down."),
            ("Ripstop", "Light, loud and very hard to tear."),
            ("Recycled", "Woven from forty-one bottles and proud of it."),
        ),
        price=92.0,
        spread=0.4,
        appeal=0.9,
        companions=("tents", "bottles", "shoes"),
    ),
    Kind(
        key="tents",
        department="outdoors",
        title="Tents",
        shapes=(("Ridge Tent", "ridge_tent"), ("Dome Tent", "dome_tent")),
        materials=(
            ("Canvas", "Breathes at night and shrugs off a week of rain."),
            ("Ripstop", "Stands in four minutes, packs in five."),
            ("Trail", "Under two kilos, with room for wet boots."),
        ),
        price=219.0,
        spread=0.4,
        appeal=0.5,
        companions=("backpacks", "bottles"),
    ),
    Kind(
        key="bottles",
        department="outdoors",
        title="Bottles & Flasks",
        shapes=(("Bottle", "water_bottle"), ("Flask", "flask")),
        materials=(
            ("Steel", "Cold for a day, hot for half of one."),
            ("Insulated", "Double-walled, with a lid that does not leak in the bag."),
            ("Trail", "Fits every cup holder we could find."),
        ),
        price=29.0,
        spread=0.35,
        appeal=1.1,
        companions=("backpacks", "tents", "mugs"),
    ),
)

STYLES: dict[str, str] = {
    "minimal": "plain",
    "rustic": "speckle",
    "bold": "blocks",
    "classic": "band",
    "playful": "dots",
    "natural": "leaves",
    "vintage": "checks",
    "graphic": "stripes",
}
"""Style tag, and the pattern that it is drawn with."""


class Colour(msgspec.Struct, frozen=True):
    """A colour of the range: its name and family, and what it is painted with, as `#rrggbb`."""

    name: str
    family: str
    main: str
    dark: str
    light: str
    accent: str
    backdrop: str


COLOURS: tuple[Colour, ...] = (
    Colour("Moss", "green", "#6f8a5b", "#4e6540", "#a9bd97", "#f0e6cf", "#e4eadb"),
    Colour("Forest", "green", "#2f5d50", "#1f4239", "#6e978a", "#e9c46a", "#d9e6e0"),
    Colour("Sage", "green", "#9db5a0", "#748d78", "#c9d8ca", "#59705d", "#e9f0e8"),
    Colour("Teal", "blue", "#2a7f86", "#1c5b61", "#77b6ba", "#f4d9b0", "#d8ebec"),
    Colour("Sky", "blue", "#7fb2d6", "#5489ae", "#b8d7eb", "#fbf3e0", "#e2eff7"),
    Colour("Ink", "blue", "#33476b", "#22314d", "#7d8fb0", "#e8b04b", "#dfe4ee"),
    Colour("Plum", "red", "#7d4a6b", "#593149", "#b388a5", "#f2d4c2", "#eee0e9"),
    Colour("Blush", "red", "#e2a4a0", "#bd7a77", "#f1ccc9", "#8f4a52", "#fbebe8"),
    Colour("Rust", "red", "#b7552f", "#8a3d20", "#dc9272", "#f6e3c5", "#f7e4d9"),
    Colour("Clay", "warm", "#c98a66", "#a06746", "#e3b99f", "#5b4636", "#f6e9df"),
    Colour("Ochre", "warm", "#d9a441", "#ad7d26", "#ecc987", "#5a4a2f", "#faefd6"),
    Colour("Sand", "warm", "#d8c4a0", "#b09a73", "#ebdfc8", "#7a6647", "#f5eee0"),
    Colour("Fog", "neutral", "#b4bcc2", "#8a949c", "#d8dde0", "#4b5862", "#edf0f2"),
    Colour("Charcoal", "neutral", "#4a4d52", "#303338", "#85898f", "#d9a441", "#e3e4e6"),
    Colour("Ivory", "neutral", "#efe6d5", "#cbbfa8", "#f9f4ea", "#9a7b4f", "#e6ddcd"),
)

SERIES: tuple[str, ...] = (
    *("Halden", "Ferrow", "Mistle", "Corran", "Tamsin", "Orrin", "Bracken", "Sorrel", "Wrenfield", "Linnet"),
    *("Marram", "Thistle", "Larkin", "Quillon", "Emberly", "Harrow", "Junipa", "Saffra", "Tollund", "Birke"),
    *("Oslo Lane", "Pellow", "Rowan", "Selkie", "Tarn", "Umbra", "Velden", "Wexley", "Yarrow", "Zephra"),
    *("Ashby", "Brindle", "Calder", "Dunmore", "Eskdale", "Fennick", "Garrow", "Hollis", "Inverly", "Kestrel"),
)

BRANDS: tuple[tuple[str, float], ...] = (
    ("Linden Row", 1.0),
    ("Fennel & Forge", 1.1),
    ("Nordmark Atelier", 1.45),
    ("Plain Harbour", 0.8),
    ("Otter Supply", 0.9),
    ("Maison Brume", 1.6),
    ("Kettle Street", 0.75),
    ("Far Meadow", 1.2),
)
"""Brand, and what it does to a price."""

FIRST_NAMES: tuple[str, ...] = (
    *("Ada", "Amir", "Anouk", "Bao", "Bela", "Carla", "Chidi", "Dana", "Elif", "Emil", "Esme", "Farid", "Freya"),
    *("Gita", "Hugo", "Ida", "Ines", "Ivan", "Jonas", "Kaya", "Kofi", "Lars", "Leila", "Lena", "Luca", "Maia"),
    *("Marek", "Mina", "Nadia", "Nils", "Noor", "Olga", "Omar", "Petra", "Priya", "Rafael", "Rosa", "Sami"),
    *("Selma", "Theo", "Tilda", "Uma", "Viktor", "Wanda", "Yara", "Yusuf", "Zoe"),
)

COUNTRIES: tuple[tuple[str, str, str, float], ...] = (
    ("DE", "de-DE", "Europe/Berlin", 5.0),
    ("FR", "fr-FR", "Europe/Paris", 3.0),
    ("NL", "nl-NL", "Europe/Amsterdam", 2.0),
    ("GB", "en-GB", "Europe/London", 3.0),
    ("ES", "es-ES", "Europe/Madrid", 2.0),
    ("SE", "sv-SE", "Europe/Stockholm", 1.0),
    ("AT", "de-AT", "Europe/Vienna", 1.0),
    ("PL", "pl-PL", "Europe/Warsaw", 1.0),
)
"""Country, locale, time zone, and its share of the people (relative)."""
