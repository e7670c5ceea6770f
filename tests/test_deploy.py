"""What is shipped for running it: the image and the unit are what the page about deploying says they are."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bespeak.cli.words import build_parser
from bespeak.settings import ENVIRONMENT_PREFIX, each_setting, load_settings

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
UNIT = ROOT / "deploy" / "bespeak.service"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in lines]


def of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def unit() -> dict[str, list[str]]:
    """Return the settings of the unit's service; one that stands several times has several values."""
    found: dict[str, list[str]] = {}
    section = UNIT.read_text().partition("[Service]")[2].partition("[Install]")[0]
    for line in section.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_image_is_built_in_two_stages_and_runs_as_nobody_in_particular() -> None:
    stages = [index for index, (name, _) in enumerate(instructions()) if name == "FROM"]
    assert len(stages) == 2
    final = instructions()[stages[1] :]
    (user,) = [rest for name, rest in final if name == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), "by number, so that an orchestrator can see that it is not root"
    assert not [rest for name, rest in final if name == "COPY" and "--from=build" not in rest], (
        "no sources, no pip cache"
    )
    assert not [rest for name, rest in final if name == "RUN" and "pip" in rest]


def test_the_image_stops_as_the_server_does_and_writes_to_its_volume_alone() -> None:
    assert of("STOPSIGNAL") == ["SIGTERM"]
    assert of("VOLUME") == ["/data"]
    assert "BESPEAK__DATA_DIR=/data" in " ".join(of("ENV"))
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(of("ENV")), "the rest may be read only"
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert "--read-only" in page
    assert "@sha256:" in page, "and how the base image is pinned"


def test_what_the_image_installs_is_checked_by_hash_and_comes_from_no_named_place() -> None:
    installs = [rest for rest in of("RUN") if "pip install" in rest]
    assert len(installs) == 2
    assert "--require-hashes --requirement requirements.txt" in installs[0]
    assert "--no-deps" in installs[1]
    text = "\n".join(rest for name, rest in instructions() if name != "HEALTHCHECK")
    assert "://" not in text
    assert "index-url" not in text
    assert all("/" not in rest.split()[0].removeprefix("PYTHON=") for rest in of("ARG")), (
        "a base image by its name alone"
    )


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [place for rest in of("COPY") if "--from" not in rest for place in rest.split()[:-1]]
    assert {"requirements.txt", "pyproject.toml", "src"} <= set(sources)
    for place in sources:
        assert (ROOT / place).exists(), place
        assert f"!{place}" in ignored


def test_the_image_says_how_to_see_that_it_is_alive_and_what_it_runs() -> None:
    (check,) = of("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert ":8000/health" in command[2]
    words = json.loads(of("ENTRYPOINT")[0])[1:] + json.loads(of("CMD")[0])
    assert build_parser().parse_args(words).run == "serving:serve"


@pytest.mark.parametrize("environment", ["image", "unit"])
def test_the_environment_holds_settings_that_exist(environment: str) -> None:
    text = " ".join(of("ENV")) if environment == "image" else " ".join(unit()["Environment"])
    pairs = dict(re.findall(rf"({ENVIRONMENT_PREFIX}\w+)=(\S+)", text))
    assert pairs
    assert set(pairs) <= {setting.variable for setting in each_setting()}
    settings = load_settings(None, pairs)
    assert settings.server.log_format == "json"
    assert settings.data_dir.startswith("/")


def test_the_unit_is_one_that_systemd_reads() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    assert parser.sections() == ["Unit", "Service", "Install"]
    (command,) = unit()["ExecStart"]
    arguments = build_parser().parse_args(command.split()[1:])
    assert (arguments.run, arguments.config) == ("serving:serve", "/etc/bespeak/bespeak.toml")


def test_the_unit_lets_the_server_drain_and_gives_it_nothing_that_it_does_not_need() -> None:
    found = unit()
    assert int(found["TimeoutStopSec"][0]) > 8 + 10, "drain_seconds, and the last checkpoint"
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectKernelModules", "RestrictSUIDSGID"):
        assert found[name] == ["yes"], name
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["User"] != ["root"]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on this machine")
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/bespeak/bin/bespeak", "/bin/true"))  # which need not be installed
    done = subprocess.run([analyze, "verify", here], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_calls_the_unit_safe() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on this machine")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", UNIT], capture_output=True, text=True, check=False
    )
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze is too old to look at a file")
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def test_the_page_about_deploying_names_both() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert "deploy/Dockerfile" in page
    assert "deploy/bespeak.service" in page
