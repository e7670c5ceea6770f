"""The words of the command line: every verb with its options and an example. Imports nothing but argparse."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from bespeak import __version__
from bespeak.cli.verbs import Group, Verb
from bespeak.cli.verbs import at_moment as _at
from bespeak.cli.verbs import nothing as _nothing
from bespeak.cli.words_changes import CHANGES
from bespeak.cli.words_computed import COMPUTED

if TYPE_CHECKING:
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

    Parsers = _SubParsersAction[ArgumentParser]

EPILOG = """examples:
  bespeak init shop && cd shop && bespeak serve
  bespeak demo
  bespeak VERB --help

A running server is asked; without one, the store is opened. Exit codes: 0 done, 1 it did not work, 2 wrong usage.
"""

SCOPES = (
    "events, decide, profiles:read, profiles:erase, definitions:read, definitions:write, catalog:read, catalog:write,"
    " keys, ops"
)
"""Those of `bespeak.privacy`, in words: its import would cost every command its start."""


def build_parser() -> ArgumentParser:
    """Return the parser of the whole command line; `run` of its result names the function of the verb."""
    parser = ArgumentParser(
        prog="bespeak",
        description="A real-time personalization engine.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bespeak {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        _add(verbs, verb)
    for group in GROUPS:
        inner = verbs.add_parser(group.name, help=group.summary, description=_sentence(group.summary))
        _common(inner)
        inner.set_defaults(run=group.run)
        within = inner.add_subparsers(title="verbs", metavar="VERB", required=group.run is None)
        for verb in group.verbs:
            _add(within, verb)
    return parser


def every_verb() -> list[str]:
    """Return every verb as it is typed, for the documentation.

    Examples
    --------
    >>> "keys create" in every_verb()
    True
    """
    return [verb.name for verb in VERBS] + [f"{group.name} {verb.name}" for group in GROUPS for verb in group.verbs]


def _add(parsers: Parsers, verb: Verb) -> None:
    parser = parsers.add_parser(
        verb.name,
        help=verb.summary,
        description=_sentence(verb.summary),
        epilog=f"example:\n  {verb.example}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    verb.options(parser)
    _common(parser)
    parser.set_defaults(run=verb.run)


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _common(parser: ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings (default: bespeak.toml here, if there is one)")
    parser.add_argument("--data", metavar="DIR", help="data directory (default: data_dir of the settings)")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for programs")


def _complete(parser: ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="a condition, or its beginning")
    parser.add_argument("--cursor", metavar="N", type=int, help="where the cursor stands (default: at the end)")


def _preview(parser: ArgumentParser) -> None:
    parser.add_argument("condition", metavar="CONDITION", help="a condition, a YAML file of a segment, or its id")
    _moment(parser)
    parser.add_argument("--cold", action="store_true", help="read the files, and ask no server to hold events")


def _diff(parser: ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="the id of a segment, a YAML file, or a condition")
    parser.add_argument("new", metavar="NEW", help="the same, as it would be")
    _moment(parser)


def _moment(parser: ArgumentParser) -> None:
    parser.add_argument("--at", metavar="TIME", help="as of this moment, ISO 8601 (default: now)")
    parser.add_argument("-n", metavar="N", type=int, default=20, help="people to name, 1 to 1,000 (default 20)")


def _unomi(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON: a segment, a condition, or a list of them")


def _init(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help="folder to make (default: here)")


def _serve(parser: ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: server.host)")
    parser.add_argument("--port", type=int, help="port; 0 takes a free one (default: server.port)")
    parser.add_argument("--workers", type=int, default=1, help="1: one process owns a store; more are refused")


def _demo(parser: ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="start, prove that every address answers, stop")
    parser.add_argument("--port", type=int, help="port (default: 8000, or the next free one)")
    parser.add_argument("--seed", type=int, help="which town (7)")


def _keys_create(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--kind", choices=("write", "secret"), required=True, help="write: public, sends; secret: everything"
    )
    parser.add_argument("--name", default=None, help="what it is for; the source of its events (default: the kind)")
    parser.add_argument(
        "--scope",
        action="append",
        metavar="SCOPE",
        help="what it may (default: all that its kind may); once or more of: " + SCOPES,
    )
    parser.add_argument("--expires", metavar="TIME", help="how long it works from now, such as 90d (default: no end)")


def _keys_rotate(parser: ArgumentParser) -> None:
    _key_id(parser)
    parser.add_argument(
        "--overlap",
        default="24h",
        metavar="TIME",
        help="how long the old token goes on working; none: it ends now (24h)",
    )
    parser.add_argument("--expires", metavar="TIME", help="how long the key works from now (default: as before)")


def _key_id(parser: ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY_ID", help="its id, as `bespeak keys list` shows it")


def _apply(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help="project folder (default: here)")
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait until history is counted for new definitions"
    )


def _import(parser: ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="delimited text or JSON lines, plain or gzip")
    parser.add_argument(
        "--map", required=True, metavar="MAP", help="what the columns mean: a YAML file, or a shipped map's name"
    )


def _profile(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="profile id, user id or anonymous id")
    _at(parser)


def _erase(parser: ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="profile id, user id or anonymous id")
    parser.add_argument("--yes", action="store_true", help="do not ask first")


def _lists(parser: ArgumentParser) -> None:
    parser.add_argument("list", metavar="LIST", help="id of the list: a-z, 0-9, - and _")
    parser.add_argument("file", metavar="FILE", help="one id a line; - is standard input")
    parser.add_argument("--devices", action="store_true", help="they are anonymous ids, not user ids")


def _lists_show(parser: ArgumentParser) -> None:
    parser.add_argument("list", metavar="LIST", nargs="?", help="id of the list (default: all, with their sizes)")
    parser.add_argument("--limit", type=int, default=100, help="how many members are shown, the newest (100)")


def _explain(parser: ArgumentParser) -> None:
    parser.add_argument("segment", metavar="SEGMENT")
    parser.add_argument("id", metavar="USER", help="profile id, user id or anonymous id")
    _at(parser)


def _count(parser: ArgumentParser) -> None:
    parser.add_argument("segment", metavar="SEGMENT")
    _at(parser)


def _recommend(parser: ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="user id; with --device an anonymous id")
    parser.add_argument("-n", type=int, default=10, metavar="N", help="how many items (10)")
    parser.add_argument("--device", action="store_true", help="USER is an anonymous id")
    _at(parser)


def _decide(parser: ArgumentParser) -> None:
    parser.add_argument(
        "request",
        metavar="FILE",
        nargs="?",
        default="-",
        help="the body of POST /v1/decide (default: -, standard input)",
    )


def _verify(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--repair", action="store_true", help="write damaged rows to a file and skip them, so that the store opens"
    )
    parser.add_argument("--export", metavar="FILE", help="where to write them (default: beside the store)")


def _backup(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="where to; its folder must be there")
    parser.add_argument("--force", action="store_true", help="replace FILE when it is there")


def _restore(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="what `bespeak backup` wrote")
    parser.add_argument("--key", metavar="FILE", help="its master.key, to put beside it (default: what is there)")
    parser.add_argument("--force", action="store_true", help="replace the store that is there")


def _archive_run(parser: ArgumentParser) -> None:
    parser.add_argument("--everything", action="store_true", help="also what does not fill a file yet")


def _times(parser: ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help="files with events from then on, ISO 8601 (default: all)")
    parser.add_argument("--until", metavar="TIME", help="files with events before then (default: all)")


def _archive_query(parser: ArgumentParser) -> None:
    parser.add_argument("sql", metavar="SQL", help="one SELECT over the view `events`")
    _times(parser)


def _archive_export(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="where to; its folder must be there")
    parser.add_argument("--force", action="store_true", help="replace FILE when it is there")
    _times(parser)


def _evaluate(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="which town (0)")
    parser.add_argument("--people", type=int, default=2_000, help="people in it (2000)")
    parser.add_argument("--items", type=int, default=500, help="items in its shop (500)")
    parser.add_argument("--out", metavar="FILE", help="write the report there too, as JSON")


def _bench(parser: ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="which benchmarks (default: all that take no minutes)")


VERBS = (
    Verb("init", "make a project folder: settings, definitions, keys", "bespeak init shop", "project:init", _init),
    Verb("serve", "run the server until SIGTERM or Ctrl-C", "bespeak serve --port 8080", "serving:serve", _serve),
    Verb("demo", "run a shop with people in it, to look at", "bespeak demo --port 8000", "serving:demo", _demo),
    Verb("apply", "put a folder's definitions in force", "bespeak apply shop", "definitions:apply", _apply),
    Verb(
        "import",
        "bring history in from files",
        "bespeak import clicks.csv.gz --map eshop_clothing",
        "importing:import_all",
        _import,
    ),
    Verb("profile", "show what is known about somebody", "bespeak profile 1234", "asking:profile", _profile),
    Verb(
        "erase",
        "erase a person: keys, profile and all that is known",
        "bespeak erase 1234 --yes",
        "erasing:erase",
        _erase,
    ),
    Verb(
        "recommend",
        "show items for somebody, with reasons",
        "bespeak recommend 1234 -n 5",
        "asking:recommend",
        _recommend,
    ),
    Verb(
        "decide",
        "answer a decision request in JSON",
        """echo '{"userId": "1234", "slots": [{"id": "home", "n": 4}]}' | bespeak decide""",
        "asking:decide",
        _decide,
    ),
    Verb(
        "verify",
        "check every row of the log, and the file",
        "bespeak verify --data /var/lib/bespeak",
        "upkeep:verify",
        _verify,
    ),
    Verb(
        "replay",
        "build everything anew from the log, and compare it with what is live",
        "bespeak replay --json",
        "upkeep:replay",
        _nothing,
    ),
    Verb(
        "backup",
        "copy the store while it is in use, and verify the copy",
        "bespeak backup /backup/monday.db",
        "copies:backup",
        _backup,
    ),
    Verb(
        "restore",
        "put a backup into an empty data directory, or with --force in the place of a store",
        "bespeak restore /backup/monday.db --data /var/lib/bespeak",
        "copies:restore",
        _restore,
    ),
    Verb(
        "evaluate",
        "measure decisions against the known tastes of a simulated town",
        "bespeak evaluate --seed 7 --people 1000",
        "measuring:evaluate",
        _evaluate,
    ),
    Verb(
        "bench",
        "measure speed, each figure beside its floor",
        "bespeak bench decide --json",
        "measuring:bench",
        _bench,
    ),
    *CHANGES,
)

GROUPS = (
    Group(
        "archive",
        "write the log to Parquet files, list and check them, ask SQL over them",
        "archiving:list_files",
        (
            Verb(
                "run",
                "write what is due to files, now",
                "bespeak archive run --everything",
                "archiving:run",
                _archive_run,
            ),
            Verb("list", "list the files", "bespeak archive list", "archiving:list_files", _nothing),
            Verb("verify", "check every file", "bespeak archive verify", "archiving:verify", _nothing),
            Verb(
                "query",
                "ask one SELECT over all events",
                'bespeak archive query "SELECT name, count(*) FROM events GROUP BY name"',
                "archiving:query",
                _archive_query,
            ),
            Verb(
                "export",
                "write all events to one plain Parquet file, for other tools",
                "bespeak archive export /data/june.parquet --since 2026-06-01 --until 2026-07-01",
                "archiving:export",
                _archive_export,
            ),
        ),
    ),
    Group(
        "lists",
        "put people on static lists, take them off, see who is on them",
        "listing:show_lists",
        (
            Verb("add", "put the people of a file on a list", "bespeak lists add vip ids.txt", "listing:add", _lists),
            Verb("remove", "take them off", "bespeak lists remove vip ids.txt", "listing:remove", _lists),
            Verb(
                "show", "list the lists, or who is on one", "bespeak lists show vip", "listing:show_lists", _lists_show
            ),
        ),
    ),
    Group(
        "models",
        "how the recommenders' models stand; build them anew from the log",
        "modelling:status",
        (
            Verb(
                "status",
                "when they were built, and who is still in them",
                "bespeak models status",
                "modelling:status",
                _nothing,
            ),
            Verb(
                "rebuild",
                "build the models anew from the log, without the people who were erased",
                "bespeak models rebuild",
                "modelling:rebuild",
                _nothing,
            ),
        ),
    ),
    Group(
        "keys",
        "make, list, rotate and revoke keys; change the master key",
        None,
        (
            Verb(
                "create",
                "make a key; its token is shown once",
                "bespeak keys create --kind write --name shop",
                "keys:create",
                _keys_create,
            ),
            Verb("list", "list the keys, without their tokens", "bespeak keys list", "keys:list_keys", _nothing),
            Verb(
                "rotate",
                "give a key a new token; the old one works on for a while",
                "bespeak keys rotate key_2c4xvs7a --overlap 24h",
                "keys:rotate",
                _keys_rotate,
            ),
            Verb("revoke", "end a key at once", "bespeak keys revoke key_2c4xvs7a", "keys:revoke", _key_id),
            Verb(
                "rotate-master",
                "change the master key that wraps the keys of people",
                "bespeak keys rotate-master",
                "keys:rotate_master",
                _nothing,
            ),
        ),
    ),
    Group(
        "segments",
        "list, explain, count, write and convert segments",
        "asking:segments",
        (
            Verb("list", "list the segments with their sizes", "bespeak segments list", "asking:segments", _nothing),
            Verb(
                "explain",
                "say why somebody is in a segment, or not",
                "bespeak segments explain big-spenders 1234",
                "asking:explain",
                _explain,
            ),
            Verb(
                "count",
                "count who is in a segment, now or as of a moment",
                "bespeak segments count big-spenders --at 2026-01-31",
                "asking:count",
                _count,
            ),
            Verb(
                "preview",
                "say who would be in a segment, and beside which others",
                "bespeak segments preview 'count(\"Product Viewed\", last 7 days) >= 3'",
                "previewing:preview",
                _preview,
            ),
            Verb(
                "diff",
                "say who would enter and leave a segment if it changed",
                "bespeak segments diff big-spenders segments/big-spenders.yaml",
                "previewing:diff",
                _diff,
            ),
            Verb(
                "complete",
                "say what may stand at the cursor of a condition, for an editor",
                "bespeak segments complete 'performed(\"Product V'",
                "asking:complete",
                _complete,
            ),
            Verb(
                "unomi",
                "write segments of Apache Unomi as definitions of ours",
                "bespeak segments unomi exported.json",
                "unomi:unomi",
                _unomi,
            ),
        ),
    ),
    *COMPUTED,
)
