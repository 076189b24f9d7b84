"""The compose files, the Dockerfile and the example settings belong together."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from sipcore.app.config import Settings, load_settings
from sipcore.app.config_sources import is_table

from .dockerfile import ancestors, stages

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
GPU: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text(encoding="utf-8"))
STAGES = stages((ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8"))
ENV_EXAMPLE = (ROOT / ".env.docker.example").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
SERVICES = ("sip-server", "call-center")
EXTRAS = re.findall(r"^EXTRAS=(.*)$", "\n".join(s for st in STAGES.values() for s in st.of("ARG")), re.MULTILINE)
OF_THE_CONTAINERS = {"CONTAINER_UID", "CONTAINER_GID", "IMAGE_EXTRAS", "IMAGE_TAG"}


def test_there_are_the_originals_two_services_under_their_names() -> None:
    assert tuple(COMPOSE["services"]) == SERVICES
    assert [service["container_name"] for service in COMPOSE["services"].values()] == list(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_on_the_hosts_network_and_has_few_rights(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["network_mode"] == "host" and "ports" not in service
    assert service["user"] == "${CONTAINER_UID:-1000}:${CONTAINER_GID:-1000}"
    assert service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
    assert service["restart"] == "unless-stopped" and service["init"] is True and service["stop_grace_period"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["env_file"] == ".env"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_built_from_a_stage_that_there_is_and_checks_its_health_as_that_does(name: str) -> None:
    service = COMPOSE["services"][name]
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    chain = ancestors(STAGES, service["build"]["target"])
    [check] = [text for stage in chain for text in stage.of("HEALTHCHECK")]
    assert service["healthcheck"]["test"] == ["CMD", *re.findall(r'"([^"]+)"', check)]
    known = {text.partition("=")[0] for stage in STAGES.values() for text in stage.of("ARG")}
    assert service["build"]["args"].keys() <= known


def test_the_gpu_file_changes_the_call_center_alone_and_asks_for_one_device() -> None:
    assert GPU["services"].keys() == {"call-center"}
    service = GPU["services"]["call-center"]
    assert service["build"]["target"] in STAGES
    assert service["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    ]
    assert service["image"] != COMPOSE["services"]["call-center"]["image"]


def test_voices_output_recordings_and_models_are_kept_outside_the_containers() -> None:
    mounts = {
        name: {_target(volume): _source(volume) for volume in COMPOSE["services"][name]["volumes"]} for name in SERVICES
    }
    output = "${OUTPUT_DIR:-./output}"
    assert mounts["sip-server"] == {"/app/recording": "${RECORDING_DIR:-./recording}", "/app/output": output}
    assert mounts["call-center"] == {
        "/app/voices": "./voices",
        "/app/output": output,
        "/var/cache/sipcore": "model-cache",
    }
    assert COMPOSE["volumes"].keys() == {"model-cache"}


@pytest.mark.parametrize("name", SERVICES)
def test_settings_of_the_hosts_folders_become_the_containers(name: str, tmp_path: Path) -> None:
    """What `.env` calls RECORDING_DIR is the host's; inside, the mounted folder is meant."""
    variables = COMPOSE["services"][name]["environment"]
    assert variables == {"RECORDING_DIR": "/app/recording", "OUTPUT_DIR": "/app/output"}
    assert "/app /app/voices /app/output /app/recording /var/cache/sipcore" in STAGES["base"].of("RUN")[0]


def test_fresh_clones_have_the_folders_before_docker_makes_them_as_root() -> None:
    assert (ROOT / "recording" / ".gitkeep").is_file() and (ROOT / "output" / "transcode" / ".gitkeep").is_file()


@pytest.mark.parametrize("target", [*SERVICES, "call-center-gpu"])
def test_an_image_runs_sipcore_as_a_user_without_rights(target: str) -> None:
    chain = ancestors(STAGES, target)
    assert [text for stage in chain for text in stage.of("USER")] == ["sipcore"]
    assert chain[-1].steps[-1][0] in {"USER", "CMD"}
    assert [text for stage in chain for text in stage.of("ENTRYPOINT")] == ['["sipcore"]']
    assert not [stage.name for stage in chain if stage.name == "wheels" or stage.name.endswith("-venv")]


def test_the_call_center_writes_the_heartbeat_that_its_health_check_reads() -> None:
    [command] = STAGES["call-center-base"].of("CMD")
    assert command == '["call-center", "--heartbeat", "/tmp/heartbeat"]'
    assert '"heartbeat", "/tmp/heartbeat"]' in STAGES["call-center-base"].of("HEALTHCHECK")[0]


@pytest.mark.parametrize("target", [name for name, stage in STAGES.items() if stage.of("COPY")])
def test_what_an_image_copies_is_not_kept_from_it(target: str) -> None:
    """`.dockerignore` shuts all out and lets these in again."""
    assert IGNORED[1] == "*"
    let_in = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
    for text in STAGES[target].of("COPY"):
        if text.startswith("--from="):
            continue
        source = text.split()[0]
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source, name) or name.startswith(f"{source}/") for name in let_in), source


def test_what_the_workspace_is_built_from_is_let_in() -> None:
    let_in = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
    for project in (ROOT / "core", *(ROOT / "plugins").glob("*/")):
        for part in ("pyproject.toml", "README.md", "src"):
            name = str((project / part).relative_to(ROOT))
            assert any(fnmatch.fnmatch(name, pattern) for pattern in let_in), name


@pytest.mark.parametrize("extras", EXTRAS)
def test_the_extras_of_the_images_are_the_cores(extras: str) -> None:
    known = re.findall(r"^(\w+) = \[\"sipcore-", (ROOT / "core" / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert set(extras.split(",")) <= set(known)
    compose = str(COMPOSE["services"]["call-center"]["build"]["args"]) + str(GPU["services"]["call-center"]["build"])
    assert f"IMAGE_EXTRAS:-{extras}}}" in compose


def test_the_env_example_names_every_setting_and_changes_only_the_language_model(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(ENV_EXAMPLE, encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", ENV_EXAMPLE, re.MULTILINE))
    flat = {name.upper() for name, info in Settings.model_fields.items() if not is_table(info)}
    assert {name for name in named if not name.startswith("SIPCORE_")} == flat | OF_THE_CONTAINERS
    defaults = load_settings(cwd=tmp_path / "empty", environ={})
    here = {row.name: row.value for row in settings.rows() if not row.name.endswith("_DIR")}
    there = {row.name: row.value for row in defaults.rows()}
    assert {name for name, value in here.items() if value != there.get(name)} == {"WS_URL", "assistant.1.llm"}


def test_with_everything_switched_on_the_env_example_is_no_mistake(tmp_path: Path) -> None:
    lines = re.sub(r"^# (?=[A-Z_]+=)", "", ENV_EXAMPLE, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(lines.replace("SIP_LOCAL_IP=", "SIP_LOCAL_IP=127.0.0.1"), encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    assert [line for line in settings.warnings() if "is not a setting" in line] == []
    assert settings.assistant[0].greeting == "Good morning, what can I do for you?"


def test_no_name_of_the_containers_looks_like_a_setting_of_sipcore() -> None:
    """`SIPCORE_…` in the environment reaches any key: a stranger there would be told as a mistyped setting."""
    text = str(COMPOSE) + str(GPU) + str([stage.steps for stage in STAGES.values()])
    assert set(re.findall(r"SIPCORE_\w+", text)) == {"SIPCORE_MODELS"}


@pytest.mark.parametrize(
    ("linter", "file"),
    [
        ("hadolint", "deploy/docker/Dockerfile"),
        ("shellcheck", "scripts/docker-build.sh"),
        ("shellcheck", "scripts/setup.sh"),
    ],
)
def test_linters_have_nothing_to_say(linter: str, file: str) -> None:
    done = subprocess.run([Path(sys.executable).parent / linter, ROOT / file], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


def _source(volume: str | dict[str, str]) -> str:
    return volume.partition(":")[0] if isinstance(volume, str) else volume["source"]


def _target(volume: str | dict[str, str]) -> str:
    return volume.split(":")[1] if isinstance(volume, str) else volume["target"]
