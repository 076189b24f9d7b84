"""scripts/docker-build.sh, before a docker that notes down what it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "docker-build.sh"
TOOLS = ("bash", "cat", "chown", "dirname", "grep", "id", "mkdir", "tail")
FAKE = r"""#!/bin/sh
[ "$*" != "compose version" ] || exit "${FAKE_NO_COMPOSE:-0}"
{ printf '%s\037' "$CONTAINER_UID" "$CONTAINER_GID" "${IMAGE_TAG-none}" "$@"; echo; } >> "$FAKE_NOTES"
case $* in
    *"ps --quiet") printf '%s' "$FAKE_RUNNING" ;;
    *) exit "${FAKE_STATUS:-0}" ;;
esac
"""
VARIABLES = ("CONTAINER_UID", "CONTAINER_GID", "IMAGE_TAG")
GPU = ["-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml"]
USERS = [os.geteuid(), 65534] if os.geteuid() == 0 else [os.geteuid()]
"""Who runs the script: root can also try it as somebody else."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What the script came to, and each command line that docker got."""

    status: int
    out: str
    err: str
    docker: Sequence[Sequence[str]]
    variables: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of the script in a folder of its own, with an ``.env``."""

    folder: Path

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, user: int | None = None) -> Ran:
        notes = self.folder / "notes"
        done = subprocess.run(
            [self.folder / "scripts" / SCRIPT.name, *arguments],
            cwd="/",
            env={"PATH": str(self.folder / "bin"), "FAKE_NOTES": str(notes)} | dict(env or {}),
            user=user if user != os.geteuid() else None,
            group=user if user != os.geteuid() else None,
            extra_groups=[] if user not in {None, os.geteuid()} else None,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        lines = [line.split("\037")[:-1] for line in notes.read_text().split("\n")[:-1]] if notes.exists() else []
        variables = [dict(zip(VARIABLES, line, strict=False)) for line in lines]
        return Ran(done.returncode, done.stdout, done.stderr, [line[len(VARIABLES) :] for line in lines], variables)


@pytest.fixture
def checkout() -> Generator[Checkout]:
    """A folder that other users may enter, too: pytest's own are closed to them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("bin", "scripts"):
            (folder / part).mkdir()
        for tool in TOOLS:
            (folder / "bin" / tool).symlink_to(shutil.which(tool) or tool)
        fake = folder / "bin" / "docker"
        fake.write_text(FAKE)
        fake.chmod(0o755)
        shutil.copy(SCRIPT, folder / "scripts")
        (folder / ".env").write_text("SIP_LOCAL_PORT=5062\n")
        folder.chmod(0o777)
        yield Checkout(folder)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("build", [["build"]]),
        ("build --no-cache", [["build", "--no-cache"]]),
        ("build call-center", [["build", "call-center"]]),
        ("build --no-cache call-center", [["build", "--no-cache", "call-center"]]),
        ("--no-cache build", [["build", "--no-cache"]]),
        ("up", [["up", "--detach", "--build"]]),
        ("up sip-server", [["up", "--detach", "--build", "sip-server"]]),
        ("up --no-cache", [["build", "--no-cache"], ["up", "--detach", "--build"]]),
        ("down", [["down"]]),
        ("restart", [["restart"]]),
        ("restart sip-server", [["restart", "sip-server"]]),
        ("logs", [["logs"]]),
        ("logs -f", [["logs", "--follow"]]),
        ("logs --follow call-center", [["logs", "--follow", "call-center"]]),
        ("logs sip-server -f", [["logs", "--follow", "sip-server"]]),
        ("status", [["ps"], ["ps", "--quiet"]]),
        ("clean", [["down", "--volumes", "--rmi", "all"]]),
        ("shell", [["exec", "sip-server", "bash"]]),
        ("shell call-center", [["exec", "call-center", "bash"]]),
    ],
)
def test_each_command_becomes_the_right_docker_command(
    checkout: Checkout, arguments: str, expected: list[list[str]]
) -> None:
    ran = checkout.run(*arguments.split())
    assert (ran.status, ran.err) == (0, "")
    assert ran.docker == [["compose", *words] for words in expected]


@pytest.mark.parametrize("command", ["build", "up", "down", "restart", "logs", "status", "clean", "shell"])
def test_gpu_adds_the_gpus_file_to_every_command(checkout: Checkout, command: str) -> None:
    ran = checkout.run(command, "--gpu")
    assert ran.status == 0
    assert all(words[:5] == ["compose", *GPU] for words in ran.docker)


@pytest.mark.parametrize("option", [["-t", "v 1"], ["--tag", "v 1"], ["--tag=v 1"]])
def test_a_tag_reaches_the_compose_file_as_it_was_written(checkout: Checkout, option: list[str]) -> None:
    ran = checkout.run("build", *option)
    assert ran.docker == [["compose", "build"]]
    assert ran.variables[0]["IMAGE_TAG"] == "v 1"


def test_without_a_tag_the_compose_file_chooses(checkout: Checkout) -> None:
    assert checkout.run("build").variables[0]["IMAGE_TAG"] == "none"


def test_status_shows_what_the_running_containers_use(checkout: Checkout) -> None:
    ran = checkout.run("status", env={"FAKE_RUNNING": "0a1b\n2c3d\n"})
    assert ran.docker[-1] == ["stats", "--no-stream", "0a1b", "2c3d"]


def test_a_word_with_blanks_and_signs_stays_one_word(checkout: Checkout) -> None:
    assert checkout.run("logs", "a b;*$(id)").docker == [["compose", "logs", "a b;*$(id)"]]


@pytest.mark.parametrize("command", ["build", "up", "down", "logs", "status", "shell"])
def test_dockers_own_failure_is_the_scripts(checkout: Checkout, command: str) -> None:
    ran = checkout.run(command, env={"FAKE_STATUS": "17"})
    assert ran.status == 17 and len(ran.docker) == 1


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"], ["up", "--help"]])
def test_help_needs_no_docker_and_names_every_command_and_option(checkout: Checkout, arguments: list[str]) -> None:
    (checkout.folder / "bin" / "docker").unlink()
    ran = checkout.run(*arguments)
    assert (ran.status, ran.err) == (0, "")
    for word in ("build", "up", "down", "restart", "logs", "status", "clean", "shell", "help"):
        assert f"\n    {word} " in ran.out
    for word in ("--no-cache", "--gpu", "-t, --tag", "-f"):
        assert word in ran.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["fly"], "unknown command fly"),
        (["up", "--fly"], "unknown option --fly"),
        (["build", "-t"], "-t needs a tag"),
        (["build", "--tag", "--gpu"], "--tag needs a tag"),
        (["down", "sip-server"], "down takes no service"),
        (["clean", "sip-server"], "clean takes no service"),
        (["shell", "sip-server", "call-center"], "shell takes one service"),
    ],
)
def test_a_command_that_there_is_not_is_told_with_the_help(
    checkout: Checkout, arguments: list[str], problem: str
) -> None:
    ran = checkout.run(*arguments)
    assert (ran.status, ran.out, ran.docker) == (2, "", [])
    assert ran.err.startswith(f"docker-build.sh: {problem}\n\nUsage: ")


def _no_docker(checkout: Checkout) -> None:
    (checkout.folder / "bin" / "docker").unlink()


def _no_env(checkout: Checkout) -> None:
    (checkout.folder / ".env").unlink()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [(_no_docker, "Install Docker Engine 20.10 or newer"), (_no_env, "cp .env.docker.example .env")],
)
def test_what_is_missing_is_told_with_what_to_do(
    checkout: Checkout, spoil: Callable[[Checkout], None], problem: str
) -> None:
    spoil(checkout)
    ran = checkout.run("up")
    assert (ran.status, ran.docker) == (1, [])
    assert problem in ran.err and len(ran.err.splitlines()) == 1


def test_a_docker_without_compose_is_told_what_to_install(checkout: Checkout) -> None:
    ran = checkout.run("up", env={"FAKE_NO_COMPOSE": "1"})
    assert (ran.status, ran.docker) == (1, [])
    assert "docker-compose-plugin" in ran.err


@pytest.mark.parametrize("user", USERS)
def test_the_containers_run_as_the_user_and_find_folders_they_may_write(checkout: Checkout, user: int) -> None:
    ran = checkout.run("up", user=user)
    owner = user or 1000
    assert ran.status == 0, ran.err
    assert ran.variables[0]["CONTAINER_UID"] == str(owner)
    for name in ("recording", "output", "output/transcode"):
        assert (checkout.folder / name).stat().st_uid == owner


@pytest.mark.parametrize("line", ["CONTAINER_UID=1234", 'CONTAINER_UID="1234"', "CONTAINER_UID=1234   # me"])
def test_env_says_who_they_run_as(checkout: Checkout, line: str) -> None:
    (checkout.folder / ".env").write_text(f"{line}\nCONTAINER_GID=\n")
    assert checkout.run("build").variables[0]["CONTAINER_UID"] == "1234"


def test_folders_are_made_where_env_puts_them(checkout: Checkout) -> None:
    (checkout.folder / ".env").write_text("RECORDING_DIR=./my calls\nOUTPUT_DIR=out\n")
    ran = checkout.run("up")
    assert ran.status == 0, ran.err
    assert (checkout.folder / "my calls").is_dir() and (checkout.folder / "out" / "transcode").is_dir()


@pytest.mark.parametrize("user", [user for user in USERS if user])
def test_a_folder_that_cannot_be_written_stops_the_start_with_the_command_that_mends_it(
    checkout: Checkout, user: int
) -> None:
    (checkout.folder / "recording").mkdir(mode=0o555)
    ran = checkout.run("up", user=user)
    assert (ran.status, ran.docker) == (1, [])
    assert f"sudo chown -R {user}:" in ran.err
