"""The words about computed traits and scores."""

from __future__ import annotations

from argparse import ArgumentParser

from bespeak.cli.verbs import Group, Verb, at_moment, nothing


def _trait(parser: ArgumentParser) -> None:
    parser.add_argument("trait", metavar="TRAIT", help="id of a computed trait with rfm")


def _explain_score(parser: ArgumentParser) -> None:
    parser.add_argument("score", metavar="SCORE")
    parser.add_argument("id", metavar="USER", help="profile id, user id or anonymous id")
    at_moment(parser)


COMPUTED: tuple[Group, ...] = (
    Group(
        "traits",
        "list computed traits, draw the borders of quintiles",
        "scoring:traits",
        (
            Verb("list", "list the computed traits", "bespeak traits list", "scoring:traits", nothing),
            Verb(
                "borders",
                "draw the borders of the quintiles of a computed trait, of everybody as of now",
                "bespeak traits borders rfm",
                "scoring:borders",
                _trait,
            ),
        ),
    ),
    Group(
        "scores",
        "list and explain scores",
        "scoring:scores",
        (
            Verb("list", "list the scores with their bands", "bespeak scores list", "scoring:scores", nothing),
            Verb(
                "explain",
                "say what each element gives to somebody's score",
                "bespeak scores explain lead 1234",
                "scoring:explain",
                _explain_score,
            ),
        ),
    ),
)
