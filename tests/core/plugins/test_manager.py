"""Plugins are found, loaded behind a guard, and told about."""

import logging
import sys
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint, PathDistribution
from types import SimpleNamespace

import pytest
from pydantic import BaseModel
from sipcore.plugins import API_VERSION, PluginError, Provider, hookimpl
from sipcore.plugins.manager import PluginManager


class Config(BaseModel, extra="forbid"):
    pass


@asynccontextmanager
async def nothing(config):
    yield None


def plugin(kind="llm", name="parrot", api=API_VERSION):
    return SimpleNamespace(**{f"sipcore_{kind}": hookimpl(lambda: Provider(name, Config, nothing, api=api))})


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install plugins: ``installed(llm_parrot="source")`` returns their entry points, as distributions have them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def install(version="1.2", **sources: str) -> list[EntryPoint]:
        entries = []
        for name, source in sources.items():
            module = f"sipcore_test_{tmp_path.name}_{name}".replace("-", "_")
            (tmp_path / f"{module}.py").write_text(source)
            made.append(module)
            info = tmp_path / f"sipcore_{name}-{version}.dist-info"
            info.mkdir(exist_ok=True)
            dist = name.replace("_", "-")
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sipcore-{dist}\nVersion: {version}\n")
            (info / "entry_points.txt").write_text(f"[sipcore]\n{name} = {module}\n")
            entries += PathDistribution(info).entry_points
        return entries

    yield install
    for module in made:
        sys.modules.pop(module, None)


SOURCE = """
from contextlib import asynccontextmanager
from pydantic import BaseModel
from sipcore.plugins import Provider, hookimpl
class Config(BaseModel, extra="forbid"): pass
@asynccontextmanager
async def opened(config): yield "engine"
@hookimpl
def sipcore_{kind}(): return Provider("{name}", Config, opened, api={api})
"""


def source(kind="llm", name="parrot", api=(1, 0)) -> str:
    return SOURCE.format(kind=kind, name=name, api=api)


def status(manager: PluginManager) -> dict[str, str]:
    return {info.name: info.status for info in manager.plugins()}


def test_an_installed_plugin_is_loaded_and_provides(installed):
    manager = PluginManager(installed(llm_parrot=source()))
    manager.load()
    assert list(manager.providers("llm")) == ["parrot"]
    assert manager.provider("llm", "parrot").name == "parrot"
    (info,) = manager.plugins()
    assert str(info) == "llm_parrot (sipcore-llm-parrot 1.2)"
    assert (info.kind, info.api, info.status, info.problem) == ("llm", "1.0", "loaded", "")


def test_nothing_is_imported_before_load(installed):
    entries = installed(llm_parrot=source())
    assert status(PluginManager(entries)) == {"llm_parrot": "off"}
    assert entries[0].module not in sys.modules


def test_loading_twice_changes_nothing(installed):
    manager = PluginManager(installed(llm_parrot=source()))
    manager.load()
    manager.load(["parrot"])
    assert list(manager.providers("llm")) == ["parrot"]


def test_only_what_was_asked_for_is_imported(installed):
    entries = installed(llm_parrot=source(), tts_drum=source("tts", "drum"))
    manager = PluginManager(entries)
    manager.load(["drum"])
    assert status(manager) == {"llm_parrot": "off", "tts_drum": "loaded"}
    assert next(e for e in entries if e.name == "llm_parrot").module not in sys.modules
    with pytest.raises(PluginError, match=r"no plugin provides llm 'parrot'; there is none. Plugin llm_parrot .*off"):
        manager.provider("llm", "parrot")


def test_no_plugin_at_all_may_be_asked_for(installed):
    manager = PluginManager(installed(llm_parrot=source()))
    manager.load([])
    assert status(manager) == {"llm_parrot": "off"}


@pytest.mark.parametrize("wanted", ["llm_parrot", "parrot"])
def test_a_plugin_is_asked_for_by_its_name_or_its_suffix(installed, wanted):
    manager = PluginManager(installed(llm_parrot=source()))
    manager.load([wanted, wanted])
    assert status(manager) == {"llm_parrot": "loaded"}


def test_an_ambiguous_suffix_is_refused(installed):
    manager = PluginManager(installed(llm_parrot=source(), tts_parrot=source("tts")))
    with pytest.raises(PluginError, match="plugin 'parrot' may be llm_parrot or tts_parrot: give the whole name"):
        manager.load(["parrot"])


def test_an_unknown_name_says_what_is_installed(installed):
    manager = PluginManager(installed(llm_parrot=source()))
    with pytest.raises(PluginError, match=r"'parrrot' is not installed. Did you mean parrot\? Installed: llm_parrot"):
        manager.load(["parrrot"])
    with pytest.raises(PluginError, match=r"'' is not installed. Installed: llm_parrot$"):
        manager.load([""])
    with pytest.raises(PluginError, match="Installed: none"):
        PluginManager([]).load(["x"])


BROKEN = {
    "import": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "raise": ("raise RuntimeError('first\\nsecond')", "RuntimeError: first"),
    "exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "syntax": ("def :", "SyntaxError: invalid syntax"),
    "no hook": ("x = 1", "it has no hook: expected a function with @hookimpl, such as sipcore_llm"),
    "misspelt": (source().replace("def sipcore_llm", "def sipcore_lmm"), "unknown hook 'sipcore_lmm'"),
    "argument": (source().replace("def sipcore_llm()", "def sipcore_llm(wrong)"), "PluginValidationError"),
    "no provider": (
        "from sipcore.plugins import hookimpl\n@hookimpl\ndef sipcore_llm(): return 'x'",
        "its hook returned str, expected a Provider",
    ),
    "hook raises": ("from sipcore.plugins import hookimpl\n@hookimpl\ndef sipcore_llm(): 1/0", "ZeroDivisionError"),
    "major": (
        source(api=(2, 1)),
        "sipcore-llm-bad 1.2 was written for plugin API 2.1, and this sipcore has 1.0: install a release of it for A",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_plugin_is_reported_and_the_rest_go_on(installed, caplog, broken):
    code, problem = BROKEN[broken]
    manager = PluginManager(installed(llm_bad=code, llm_parrot=source()))
    with caplog.at_level(logging.WARNING):
        manager.load()
    assert status(manager) == {"llm_bad": "failed", "llm_parrot": "loaded"}
    bad = manager.plugins()[0]
    assert problem in bad.problem
    assert "\n" not in bad.problem
    assert caplog.messages == [f"plugin llm_bad (sipcore-llm-bad 1.2) is not loaded: {bad.problem}"]
    with pytest.raises(PluginError, match=r"no plugin provides llm 'bad'; there is parrot. Plugin llm_bad .* failed: "):
        manager.provider("llm", "bad")


def test_a_broken_plugin_that_was_asked_for_stops_the_start(installed):
    manager = PluginManager(installed(llm_bad="import no_such_module"))
    with pytest.raises(PluginError) as error:
        manager.load(["bad"])
    assert str(error.value) == (
        "plugin llm_bad (sipcore-llm-bad 1.2) cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'. "
        "To fix it run `pip install --force-reinstall sipcore-llm-bad`, or leave llm_bad out of --plugins"
    )


def test_a_plugin_for_another_major_that_was_asked_for_names_both_versions(installed):
    manager = PluginManager(installed(llm_bad=source(api=(0, 9))))
    with pytest.raises(PluginError, match=r"plugin API 0.9, and this sipcore has 1.0.*leave llm_bad out of --plugins"):
        manager.load(["bad"])


def test_two_plugins_may_not_provide_the_same_name(installed):
    manager = PluginManager(installed(llm_parrot=source(), llm_two=source()))
    manager.load()
    assert status(manager) == {"llm_parrot": "loaded", "llm_two": "failed"}
    assert manager.plugins()[1].problem == "its llm provider 'parrot' has the name of one of plugin llm_parrot"


def test_two_distributions_with_one_entry_name(installed, caplog):
    entries = [*installed(llm_parrot=source()), *installed(version="9", llm_parrot=source())]
    assert len(PluginManager(entries).plugins()) == 1
    assert caplog.messages == [
        "plugin llm_parrot (sipcore-llm-parrot 9) is not loaded: llm_parrot (sipcore-llm-parrot 1.2) has that name too"
    ]


def test_what_is_built_in_is_registered_without_an_entry_point():
    manager = PluginManager([])
    manager.register(plugin("conversation", "echo"), "conversation_echo", version="0.1")
    assert list(manager.providers("conversation")) == ["echo"]
    (info,) = manager.plugins()
    assert (info.distribution, info.status, info.kind) == ("sipcore", "loaded", "conversation")


def test_one_plugin_may_provide_several_kinds():
    manager = PluginManager([])
    both = SimpleNamespace(**vars(plugin("tts")), **vars(plugin("stt")))
    manager.register(both, "voice_parrot")
    assert manager.plugins()[0].kind == "stt, tts"
    assert list(manager.providers("stt")) == list(manager.providers("tts")) == ["parrot"]


def test_an_entry_point_without_a_distribution_can_be_loaded(installed):
    (entry,) = installed(llm_parrot=source())
    manager = PluginManager([EntryPoint(entry.name, entry.value, entry.group)])
    manager.load()
    assert str(manager.plugins()[0]) == "llm_parrot (? ?)"


def test_a_provider_that_nothing_provides_says_what_to_install():
    with pytest.raises(
        PluginError, match=r"no plugin provides tts 'piper'; there is none. Try: pip install 'sipcore\["
    ):
        PluginManager([]).provider("tts", "piper")


def test_the_plugins_of_this_environment_load():
    manager = PluginManager()
    manager.load()
    assert {"stt_whisper", "vad_silero"} <= {info.name for info in manager.plugins() if info.status == "loaded"}
    assert "whisper" in manager.providers("stt")
    assert "silero" in manager.providers("vad")
