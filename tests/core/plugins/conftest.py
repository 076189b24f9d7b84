"""A small model store, and small packages that a real pip fetches from a folder."""

import zipfile
from pathlib import Path

import pytest
from sipcore.plugins import model_manifest, models


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """An empty store of models."""
    folder = tmp_path / "store"
    monkeypatch.setenv("SIPCORE_MODELS", str(folder))
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder of wheels, which is all that pip and uv may look into."""
    folder = tmp_path / "index"
    folder.mkdir()
    for client in ("PIP", "UV"):
        monkeypatch.setenv(f"{client}_NO_INDEX", "1")
        monkeypatch.setenv(f"{client}_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def make_wheel(index: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> Path:
    """Write a wheel that holds ``files``, and needs a distribution that does not exist."""
    base = name.replace("-", "_")
    info = f"{base}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: there-is-no-such-thing\n"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    wheel = index / f"{base}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", tag)
        names = [*files, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"]
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in names))
    return wheel


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """Put another manifest in the place of the shipped one: ``manifest(text)``."""

    def use(text: str) -> Path:
        path = tmp_path / "models.toml"
        path.write_text(text)
        loaded = model_manifest.load_manifest.__wrapped__(path)
        monkeypatch.setattr(models, "load_manifest", lambda: loaded)
        return path

    return use
