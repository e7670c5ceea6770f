"""Settings: one frozen object from a file and the environment, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bespeak.errors import SettingsError
from bespeak.settings import ServerSettings, Settings, each_setting, load_settings
from bespeak.stores import MemorySettings, SqliteSettings


def written(folder: Path, text: str) -> Path:
    path = folder / "bespeak.toml"
    path.write_text(text)
    return path


def refusal(path: Path | None, environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ)
    return str(caught.value)


def test_without_a_file_and_an_environment_every_setting_has_its_default() -> None:
    assert load_settings(None, {}) == Settings()


@pytest.mark.parametrize("proxy", ["*", "proxy.example", "10.0.0.0/33", ""])
def test_a_proxy_that_is_no_address_is_refused(proxy: str, tmp_path: Path) -> None:
    said = refusal(written(tmp_path, f'[server]\ntrusted_proxies = ["::1", "10.1.2.3/8", "{proxy}"]\n'), {})
    assert "server.trusted_proxies: expected an address or a network" in said
    assert repr(proxy) in said


def test_names_that_are_not_ours_are_left_alone() -> None:
    assert load_settings(None, {"PATH": "/bin", "BESPEAK_DATA": "x", "BESPEAKER__X": "y"}) == Settings()


def test_the_file_is_read_and_the_environment_wins_over_it(tmp_path: Path) -> None:
    path = written(tmp_path, '[server]\nport = 1000\nhost = "::1"\n[profiles]\nlate_hours = 2\n')
    settings = load_settings(path, {"BESPEAK__SERVER__PORT": "2000"})
    assert (settings.server.port, settings.server.host, settings.profiles.late_hours) == (2000, "::1", 2)


def test_the_data_directory_of_a_file_is_beside_that_file(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, ""), {}).data_dir == str(tmp_path / ".bespeak")
    assert load_settings(written(tmp_path, 'data_dir = "/var/lib/bespeak"'), {}).data_dir == "/var/lib/bespeak"


def test_the_type_of_the_store_picks_its_settings() -> None:
    assert load_settings(None, {"BESPEAK__STORE__TYPE": "memory"}).store == MemorySettings()
    chosen = load_settings(None, {"BESPEAK__STORE__TYPE": "sqlite", "BESPEAK__STORE__PATH": "x.db"}).store
    assert chosen == SqliteSettings(path="x.db")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("https://a.example, https://b.example", ("https://a.example", "https://b.example")),
        ('["https://a.example"]', ("https://a.example",)),
        ("*", ("*",)),
    ],
)
def test_a_list_in_the_environment_is_words_parted_by_commas_or_json(text: str, expected: tuple[str, ...]) -> None:
    assert load_settings(None, {"BESPEAK__SERVER__CORS_ORIGINS": text}).server.cors_origins == expected


@pytest.mark.parametrize(
    "environ,words",
    [
        ({"BESPEAK__SERVER__PROT": "1"}, ["BESPEAK__SERVER__PROT", "did you mean 'server.port'?"]),
        ({"BESPEAK__PORT": "1"}, ["BESPEAK__PORT", "did you mean 'server.port'?"]),
        ({"BESPEAK__SERVER__PORT": "eighty"}, ["BESPEAK__SERVER__PORT", "a whole number", "'eighty'"]),
        ({"BESPEAK__SERVER__PORT": "70000"}, ["BESPEAK__SERVER__PORT", "0 to 65,535", "70,000"]),
        ({"BESPEAK__SERVER": "x"}, ["BESPEAK__SERVER", "is a section"]),
        ({"BESPEAK__STORE__TYPE": "paper"}, ["store.type", "sqlite or memory", "'paper'"]),
        ({"BESPEAK__SERVER__CORS_ORIGINS": "shop.example"}, ["server.cors_origins", "https://shop.example"]),
        ({"BESPEAK__SERVER__CORS_ORIGINS": "[1"}, ["BESPEAK__SERVER__CORS_ORIGINS", "'[1'"]),
        ({"BESPEAK__DATA_DIR": "a", "BESPEAK__DATA_DIR__X": "b"}, ["BESPEAK__DATA_DIR__X", "not a section"]),
    ],
)
def test_a_wrong_name_or_value_in_the_environment_is_told_with_its_remedy(
    environ: dict[str, str], words: list[str]
) -> None:
    message = refusal(None, environ)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "text,words",
    [
        ("prot = 1", ["bespeak.toml", "'prot'"]),
        ("[server]\nport = '80'", ["bespeak.toml", "server.port", "a whole number"]),
        ("[server]\naccess_log = 1", ["server.access_log", "true or false"]),
        ("server = 3", ["bespeak.toml", "'server' is a section"]),
        ("[server", ["bespeak.toml", "not TOML"]),
        ("[profiles]\ntraits_max = 0", ["bespeak.toml", "profiles.traits_max"]),
    ],
)
def test_a_wrong_name_or_value_in_the_file_is_told_with_the_file(tmp_path: Path, text: str, words: list[str]) -> None:
    message = refusal(written(tmp_path, text), {})
    assert [word for word in words if word not in message] == []


def test_a_missing_file_says_what_makes_one(tmp_path: Path) -> None:
    assert "bespeak init" in refusal(tmp_path / "bespeak.toml", {})


def test_every_listed_variable_sets_the_setting_it_stands_beside() -> None:
    for setting in each_setting():
        if setting.name.endswith(".type") or setting.default in ("null", "{}"):
            continue
        value = str(msgspec.json.decode(setting.default)) if setting.default.startswith('"') else setting.default
        environ = {setting.variable: value}
        if setting.name.startswith("store."):
            environ["BESPEAK__STORE__TYPE"] = "sqlite"
        assert load_settings(None, environ) == Settings(), setting


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().server = ServerSettings(port=1)  # type: ignore[misc]
