"""The whole configuration: one frozen object, made once at the rim from `bespeak.toml` and the environment.

Each part is a frozen type of the package that uses it. A setting is named by its section and field, the same
everywhere: `server.port` in messages, `[server] port = 8000` in the file, `BESPEAK__SERVER__PORT=8000` in the
environment, which wins over the file. What is not a setting is an error that names the nearest one.

Examples
--------
>>> load_settings(None, {"BESPEAK__SERVER__PORT": "9000"}).server.port
9000
>>> load_settings(None, {"BESPEAK__SERVER__PROT": "9000"})
Traceback (most recent call last):
    ...
bespeak.errors.SettingsError: BESPEAK__SERVER__PROT: 'server.prot' is not a setting; did you mean 'server.port'?
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import msgspec

from bespeak.analytics import ArchiveSettings
from bespeak.decide import DecideSettings
from bespeak.errors import SettingsError
from bespeak.events import EventLimits
from bespeak.privacy import PrivacySettings
from bespeak.profiles import IdentitySettings, ProfileSettings
from bespeak.recommend import RecommendSettings
from bespeak.stores import SqliteSettings, StoreSettings

__all__ = [
    "ENVIRONMENT_PREFIX",
    "EngineSettings",
    "ServerSettings",
    "Setting",
    "Settings",
    "each_setting",
    "load_settings",
]

ENVIRONMENT_PREFIX = "BESPEAK__"

_WRONG = re.compile(r"Expected `(?P<expected>.+?)`(?:, got `(?P<found>.+?)`)?(?: - at `(?P<at>.+)`)?$")
_S = TypeVar("_S", bound=msgspec.Struct)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the HTTP server listens, and what it lets a client do to it.

    Parameters
    ----------
    host
        The address to listen on. `0.0.0.0` opens it to the network: put a proxy with TLS in front.
    port
        0 to 65535; 0 takes any free port and prints it.
    cors_origins
        Origins whose pages may call from a browser; `*` is every origin, which is safe since no cookie is read.
    trusted_proxies
        Addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    requests_max
        Requests at work at once (1 to 100,000); a further one is told 503 with `Retry-After`. A quarter is kept free
        of requests that wait for the disk, so that decisions are answered when it stalls.
    admin_bytes_max
        Bytes of one body with definitions, items or imported events (1,000 to 1 GB); other bodies keep to `events`.
    header_seconds
        How long a client may take for the head of a request (0.1 to 300).
    body_seconds
        How long a client may take for a body (0.1 to 300); then 408, which SDKs retry.
    keep_alive_seconds
        How long an idle connection is kept (1 to 3,600); longer than that of a proxy in front.
    drain_seconds
        How long requests at work may go on after SIGTERM (0 to 300).
    access_log
        One line a request on standard error: method, path without query, status, milliseconds. Off, since paths
        may name people.
    log_format
        How the log on standard error is written: `text` for people, `json` for machines, one object a line.
    tls_certificate, tls_key
        Files in PEM: the certificate (with those that vouch for it) and its private key. With both, the server speaks
        HTTPS and nothing else; neither is the default.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    cors_origins: tuple[str, ...] = ("*",)
    trusted_proxies: tuple[str, ...] = ()
    requests_max: int = 512
    admin_bytes_max: int = 32_000_000
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    keep_alive_seconds: int = 75
    drain_seconds: float = 8.0
    access_log: bool = False
    log_format: Literal["text", "json"] = "text"
    tls_certificate: str | None = None
    tls_key: str | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65_535),
            ("requests_max", 1, 100_000),
            ("admin_bytes_max", 1_000, 1_000_000_000),
            ("header_seconds", 0.1, 300),
            ("body_seconds", 0.1, 300),
            ("keep_alive_seconds", 1, 3_600),
            ("drain_seconds", 0, 300),
        ):
            value = cast("float", getattr(self, name))
            if not low <= value <= high:
                raise ValueError(f"server.{name} must be {low:,} to {high:,}, got {value:,}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            raise ValueError(f"server.{missing} is missing: TLS needs a certificate and its key")
        for origin in self.cors_origins:
            if origin != "*" and not re.fullmatch(r"https?://[^/?#\s]+", origin):
                raise ValueError(
                    f"server.cors_origins: expected '*' or an origin such as https://shop.example, got {origin!r}"
                )
        for proxy in self.trusted_proxies:
            try:
                ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(
                    f"server.trusted_proxies: expected an address or a network such as 10.0.0.0/8, got {proxy!r}"
                ) from None


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the engine keeps its state safe.

    Parameters
    ----------
    checkpoint_seconds
        How often changed profiles are written back (0.1 to 3,600), unless `checkpoint_events` or three
        quarters of `profiles.live_max` changed profiles come sooner: after a crash, the log since then is replayed.
    checkpoint_events
        Records of the log after which changed profiles are written back (1,000 to 100,000,000); a start after a crash
        replays some 25,000 a second.
    models_seconds
        How often what the recommenders learned is written (1 to 86,400).
    models_rebuild_hours
        How long after an erasure the models are built anew from the log, so that the person's part in their sums goes
        (0.01 to 8,760); 0 is never by itself: then `bespeak models rebuild` does it.
    log_keep_days
        Days after which rows of the log are dropped, counted from their arrival (0.01 to 100,000); a snapshot keeps
        what they have come to, and what the archive is still to take stays. 0 keeps everything.
    changes_keep_days
        Days for which it is kept who entered and left which segment (0.01 to 100,000); 0 keeps it as long as there is
        room.
    changes_max
        The most rows of that (0 to 1,000,000,000), some 250 bytes each: what one event, one instant or one definition
        has moved of one person. Beyond it the oldest go; 0 keeps none.
    dedupe_max
        Digests of the newest messages kept in RAM (1,000 to 100,000,000), about 100 bytes each; older ones are on disk.
    dedupe_sieve_bytes
        Bytes of the filter that says of most new messages that they are not on disk (1,024 to 512 MiB, a power of two),
        and as much again for the day before. At 8 bits for each message of a day the disk is asked for one in 40.
    ids_max
        Ids of which RAM remembers whether they are an alias, and of whom (100 to 100,000,000), about 250 bytes each; of
        others it is read when they come.
    keys_max
        Data keys kept unwrapped in RAM (100 to 10,000,000), about 600 bytes each; others are unwrapped when they are
        used. Best twice `profiles.live_max` or more: else those of people in RAM have to be read when they flip.
    queue_bytes
        Bytes of log rows and changes that may wait for the disk (10,000 to 16 GB): beyond it senders are told 429 with
        `Retry-After`, and decisions are answered without being recorded.
    """

    checkpoint_seconds: float = 30.0
    checkpoint_events: int = 100_000
    models_seconds: float = 60.0
    models_rebuild_hours: float = 24.0
    log_keep_days: float = 0.0
    changes_keep_days: float = 30.0
    changes_max: int = 1_000_000
    dedupe_max: int = 1_000_000
    dedupe_sieve_bytes: int = 33_554_432
    ids_max: int = 200_000
    keys_max: int = 100_000
    queue_bytes: int = 67_108_864

    def __post_init__(self) -> None:
        for name, low, high in (
            ("checkpoint_seconds", 0.1, 3_600),
            ("checkpoint_events", 1_000, 100_000_000),
            ("models_seconds", 1, 86_400),
            ("models_rebuild_hours", 0.01 if self.models_rebuild_hours else 0, 8_760),
            ("log_keep_days", 0.01 if self.log_keep_days else 0, 100_000),
            ("changes_keep_days", 0.01 if self.changes_keep_days else 0, 100_000),
            ("changes_max", 0, 1_000_000_000),
            ("dedupe_max", 1_000, 100_000_000),
            ("dedupe_sieve_bytes", 1_024, 536_870_912),
            ("ids_max", 100, 100_000_000),
            ("keys_max", 100, 10_000_000),
            ("queue_bytes", 10_000, 16_000_000_000),
        ):
            value = cast("float", getattr(self, name))
            if not low <= value <= high:
                raise ValueError(f"engine.{name} must be {low:,} to {high:,}, got {value:,}")
        if self.dedupe_sieve_bytes & (self.dedupe_sieve_bytes - 1):
            raise ValueError(f"engine.dedupe_sieve_bytes must be a power of two, got {self.dedupe_sieve_bytes:,}")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set.

    Parameters
    ----------
    data_dir
        Where the store, its key file and the lock live. In a file it is relative to the file's folder.
    """

    data_dir: str = ".bespeak"
    server: ServerSettings = ServerSettings()
    store: StoreSettings = SqliteSettings()
    events: EventLimits = EventLimits()
    identity: IdentitySettings = IdentitySettings()
    profiles: ProfileSettings = ProfileSettings()
    privacy: PrivacySettings = PrivacySettings()
    recommend: RecommendSettings = RecommendSettings()
    decide: DecideSettings = DecideSettings()
    engine: EngineSettings = EngineSettings()
    archive: ArchiveSettings = ArchiveSettings()


class Setting(msgspec.Struct, frozen=True):
    """One setting for the documentation: its name, its default as text, and the name of its variable."""

    name: str
    default: str
    variable: str


class _Text(str):
    """A value from the environment: text that stands for a value of the setting's type; knows its variable."""

    __slots__ = ("variable",)
    variable: str


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings from a TOML file (None: no file) and the environment.

    Parameters
    ----------
    path
        `bespeak.toml`. A relative `data_dir` in it or in the environment starts at its folder.
    environ
        Usually `os.environ`; only names beginning with `BESPEAK__` are read.

    Raises
    ------
    SettingsError
        The file cannot be read, a name is not a setting, or a value is not one that it can have.
    """
    raw = _read(path) if path is not None else {}
    _overlay(raw, environ)
    place = path.name if path is not None else "settings"
    settings = _section(Settings, raw, (), place)
    if path is not None and not Path(settings.data_dir).is_absolute():
        settings = msgspec.structs.replace(settings, data_dir=str(path.parent / settings.data_dir))
    return settings


def each_setting() -> Iterator[Setting]:
    """Yield every setting with its default, in the order of the file; every kind of store is named."""
    yield from _each(Settings, ())


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; `bespeak init` makes a project folder with one") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None


def _overlay(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        *sections, field = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        target = raw
        for section in sections:
            inner = target.setdefault(section, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"{variable}: {section!r} is one setting, not a section")
            target = cast("dict[str, Any]", inner)
        value = _Text(environ[variable])
        value.variable = variable
        target[field] = value


def _section(kind: type[_S], raw: Mapping[str, Any], path: tuple[str, ...], place: str) -> _S:
    """Build one section; `place` names the file in messages."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for name, value in raw.items():
        field = fields.get(name)
        if field is None:
            raise SettingsError(_unknown(name, value, path, fields, place))
        values[name] = _value(field.type, value, (*path, name), place)
    try:
        return kind(**values)
    except ValueError as error:
        raise SettingsError(f"{_origin(raw, place)}: {error}") from None


def _value(kind: Any, value: Any, path: tuple[str, ...], place: str) -> object:  # noqa: ANN401  a type form and raw TOML
    variants = _variants(kind)
    if not variants:
        return _leaf(kind, value, path, place)
    if not isinstance(value, dict):
        example = "__".join(path).upper() + "__" + msgspec.structs.fields(variants[0])[0].name.upper()
        raise SettingsError(
            f"{_where(value, place)}: {'.'.join(path)!r} is a section, not one setting;"
            f" set its fields, such as [{'.'.join(path)}] in the file or {ENVIRONMENT_PREFIX}{example}"
        )
    raw = cast("dict[str, Any]", value)
    return _section(_variant(variants, raw, path, place), raw, path, place)


def _variants(kind: Any) -> tuple[type[msgspec.Struct], ...]:  # noqa: ANN401  a type form has no better type
    """Return the struct, or the structs of a union, that a section can be; empty for a single setting."""
    return tuple(
        part for part in (get_args(kind) or (kind,)) if isinstance(part, type) and issubclass(part, msgspec.Struct)
    )


def _variant(
    variants: tuple[type[msgspec.Struct], ...], raw: dict[str, Any], path: tuple[str, ...], place: str
) -> type[msgspec.Struct]:
    """Choose the kind of a section by its tag (`[store] type = "memory"`); the first is the default."""
    tags = {str(variant.__struct_config__.tag): variant for variant in variants}
    if len(variants) == 1:
        return variants[0]
    tag_field = variants[0].__struct_config__.tag_field or "type"
    tag = raw.pop(tag_field, None)
    if tag is None:
        return variants[0]
    if str(tag) not in tags:
        raise SettingsError(
            f"{_where(tag, place)}: {'.'.join((*path, tag_field))} must be {_choices(list(tags))}, got {str(tag)!r}"
        )
    return tags[str(tag)]


def _leaf(kind: Any, value: Any, path: tuple[str, ...], place: str) -> object:  # noqa: ANN401  a type form and raw TOML
    try:
        if isinstance(value, _Text):
            return msgspec.convert(_from_text(kind, value), kind, strict=False)
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        match = _WRONG.match(str(error))
        expected = match["expected"] if match else str(error)
        raise SettingsError(
            f"{_where(value, place)}: {'.'.join(path)} must be {_plain(expected)}, got {str(value)[:80]!r}"
        ) from None


def _from_text(kind: Any, text: str) -> object:  # noqa: ANN401  a type form has no better type
    """Lists and tables in the environment are JSON, or for a list, words parted by commas."""
    if text[:1] in ("[", "{"):
        return msgspec.json.decode(str(text))
    origin = str(kind)
    if origin.startswith(("tuple", "list", "frozenset", "set")):
        return [part.strip() for part in text.split(",") if part.strip()]
    return str(text)


def _unknown(name: str, value: object, path: tuple[str, ...], fields: Mapping[str, object], place: str) -> str:
    full = ".".join((*path, name))
    close = difflib.get_close_matches(name, list(fields), n=1, cutoff=0.5)
    named = [setting.name for setting in each_setting()]
    elsewhere = [other for other in named if other.rpartition(".")[2] == name] or difflib.get_close_matches(
        full, named, n=1
    )
    if close:
        hint = f"did you mean {'.'.join((*path, close[0]))!r}?"
    elif elsewhere:
        hint = f"did you mean {elsewhere[0]!r}?"
    else:
        hint = f"expected {_choices(list(fields))}"
    return f"{_where(value, place)}: {full!r} is not a setting; {hint}"


def _where(value: object, place: str) -> str:
    if isinstance(value, _Text):
        return value.variable
    if isinstance(value, dict):
        for inner in cast("dict[str, object]", value).values():
            return _where(inner, place)
    return place


def _origin(raw: Mapping[str, Any], place: str) -> str:
    """Name where a section that fails as a whole came from: its variables, if all of it is from the environment."""
    variables = [value.variable for value in raw.values() if isinstance(value, _Text)]
    return ", ".join(variables) if variables and len(variables) == len(raw) else place


def _plain(expected: str) -> str:
    words = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list"}
    return words.get(expected, expected)


def _choices(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


def _each(kind: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[Setting]:
    for field in msgspec.structs.fields(kind):
        name = (*path, field.name)
        variants = _variants(field.type)
        for variant in variants:
            if len(variants) > 1 and variant is variants[0]:
                tags = _choices([str(each.__struct_config__.tag) for each in variants])
                yield _setting((*name, variant.__struct_config__.tag_field or "type"), tags)
            yield from _each(variant, name)
        if not variants:
            yield _setting(name, _default(field))


def _default(field: msgspec.structs.FieldInfo) -> str:
    value: object = field.default if field.default is not msgspec.NODEFAULT else None
    if value is None and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    return msgspec.json.encode(msgspec.to_builtins(value)).decode()


def _setting(path: tuple[str, ...], default: str) -> Setting:
    return Setting(".".join(path), default, ENVIRONMENT_PREFIX + "__".join(path).upper())
