"""What can be shown: items, and the catalog that holds them as columns."""

from bespeak.catalog.attributes import ATTRIBUTES_MAX, Attributes
from bespeak.catalog.catalog import ITEMS_MAX, Catalog
from bespeak.catalog.columns import COLUMNS_MAX, Column, Columns
from bespeak.catalog.item import Item

__all__ = ["ATTRIBUTES_MAX", "COLUMNS_MAX", "ITEMS_MAX", "Attributes", "Catalog", "Column", "Columns", "Item"]
