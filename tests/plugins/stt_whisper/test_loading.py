"""A Whisper model is found and loaded, or the error says what to do."""

import pytest
from sipcore.plugins import ModelMissingError, PluginError
from sipcore_stt_whisper import Config
from sipcore_stt_whisper.engine import threads_for
from sipcore_stt_whisper.loading import folder_of, load


def test_a_model_that_is_not_here_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("SIPCORE_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError, match=r"model small is not on this machine: run `sipcore models pull small`"):
        folder_of("small")


def test_a_folder_of_ones_own_needs_no_store(tmp_path):
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).touch()
    assert folder_of(str(tmp_path)) == tmp_path
    assert Config(model=str(tmp_path)).models() == ()


def test_a_folder_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.bin").touch()
    with pytest.raises(PluginError, match=r"is no Whisper model .*: it has no config.json, tokenizer.json"):
        folder_of(str(tmp_path))


def test_the_model_to_pull_is_known_before_opening():
    assert Config().models() == ("base",)
    assert Config(model="Systran/faster-whisper-small").models() == ("Systran/faster-whisper-small",)


def test_arithmetic_that_does_not_exist_is_refused_with_its_name(pulled):
    pulled("tiny.en")
    with pytest.raises(PluginError, match=r"Whisper model tiny.en cannot run on cpu with compute_type int3"):
        load(Config(model="tiny.en", device="cpu", compute_type="int3"), 1)


def test_a_damaged_model_is_refused_with_its_name(tmp_path):
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(PluginError, match=r"Whisper model /.* cannot run on cpu with compute_type int8"):
        load(Config(model=str(tmp_path), device="cpu"), 1)


@pytest.mark.parametrize(
    ("cores", "settings", "threads"),
    [(2, {}, 1), (3, {}, 2), (16, {}, 4), (2, {"num_workers": 4}, 1), (2, {"cpu_threads": 6}, 6)],
)
def test_workers_share_the_cores(monkeypatch, cores, settings, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    assert threads_for(Config(**settings)) == threads
