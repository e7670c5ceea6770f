"""What is known about a person: the fold of their events, whose event it is, and how two become one."""

from bespeak.profiles.fading import add, faded
from bespeak.profiles.fold import SILENT, Folded, Folding, fold, leaves_unknown
from bespeak.profiles.identity import (
    Apart,
    Join,
    Resolved,
    Unresolved,
    canonical,
    joins,
    names_of,
    resolve,
    within_bounds,
)
from bespeak.profiles.item_values import ItemValues
from bespeak.profiles.merge import merge
from bespeak.profiles.profile import Faded, Listing, Membership, Profile, Recent, Said, Session, Trait, Zone
from bespeak.profiles.said import LISTS_MAX
from bespeak.profiles.settings import IdentitySettings, ProfileSettings
from bespeak.profiles.share import share
from bespeak.profiles.view import EMPTY, PATHS, View, dig

__all__ = [
    "EMPTY",
    "LISTS_MAX",
    "PATHS",
    "SILENT",
    "Apart",
    "Faded",
    "Folded",
    "Folding",
    "IdentitySettings",
    "ItemValues",
    "Join",
    "Listing",
    "Membership",
    "Profile",
    "ProfileSettings",
    "Recent",
    "Resolved",
    "Said",
    "Session",
    "Trait",
    "Unresolved",
    "View",
    "Zone",
    "add",
    "canonical",
    "dig",
    "faded",
    "fold",
    "joins",
    "leaves_unknown",
    "merge",
    "names_of",
    "resolve",
    "share",
    "within_bounds",
]
