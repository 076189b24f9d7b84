"""A hub's repository is fetched through the hub's own client library: here from a hub on this machine."""

import hashlib
import importlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sipcore.plugins import PluginError
from sipcore.plugins.model_hub import HubSnapshot, fetch, look_up
from sipcore.plugins.model_manifest import HubSource
from sipcore.plugins.model_store import FileRecord

COMMIT = "c" * 40
WEIGHTS = b"weights " * 5000
FILES = {
    ".gitattributes": b"*.bin lfs",
    "README.md": b"# a model",
    "de/one/model.bin": WEIGHTS,
    "de/one/config.json": b"{}",
}


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as the client library asks for."""

    asked: list[tuple[str, str | None]]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Range"]))
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        if self.path.startswith("/api/models/owner/name"):
            return self.reply(json.dumps(self.described()).encode(), {"Content-Type": "application/json"}, body=body)
        name = self.path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in FILES:
            return self.reply(b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such thing"}, status=404)
        data = FILES[name]
        tag = hashlib.sha256(data).hexdigest()
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.reply(
            data[start:],
            {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{tag}"'},
            status=206 if start else 200,
            body=body,
        )
        return None

    def described(self) -> dict[str, object]:
        files = []
        for name, data in FILES.items():
            file = {"rfilename": name, "size": len(data)}
            if name.endswith(".bin"):
                file["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            files.append(file)
        return {"_id": "1", "id": "owner/name", "sha": COMMIT, "private": False, "tags": [], "siblings": files}

    def reply(self, data: bytes, headers: dict[str, str], *, status: int = 200, body: bool = True) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on loopback; what was asked of it."""
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    yield Hub.asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_repository_says_what_it_holds(hub):
    snapshot = look_up(HubSource("owner/name"))
    assert snapshot.commit == COMMIT
    assert snapshot.files["de/one/model.bin"] == FileRecord(len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert snapshot.files["README.md"] == FileRecord(9, "")
    assert ".gitattributes" not in snapshot.files
    assert snapshot.prefix == ""


def test_only_the_wanted_files_are_taken(hub, tmp_path):
    snapshot = look_up(HubSource("owner/name", files=("de/one/model.bin", "*.json")))
    assert set(snapshot.files) == {"de/one/model.bin", "de/one/config.json"}
    assert snapshot.prefix == "de/one/"
    assert snapshot.total == len(WEIGHTS) + 2
    seen: list[int] = []
    fetch(snapshot, tmp_path / "got", seen.append)
    assert (tmp_path / "got/de/one/model.bin").read_bytes() == WEIGHTS
    assert (tmp_path / "got/de/one/config.json").read_bytes() == b"{}"
    assert not (tmp_path / "got/README.md").exists()
    assert seen[-1] >= snapshot.total


def test_what_is_there_is_not_fetched_again(hub, tmp_path):
    snapshot = look_up(HubSource("owner/name"))
    fetch(snapshot, tmp_path, lambda _: None)
    hub.clear()
    fetch(snapshot, tmp_path, lambda _: None)
    assert not [path for path, _ in hub if "/resolve/" in path]


def test_a_file_that_the_repository_does_not_have(hub):
    with pytest.raises(PluginError, match=r"owner/name on the hub has no nothing.gguf"):
        look_up(HubSource("owner/name", files=("nothing.gguf", "*.json")))


def test_a_repository_that_the_hub_does_not_have(hub):
    with pytest.raises(PluginError, match=r"the hub gave no owner/other: 404"):
        look_up(HubSource("owner/other"))


def test_a_fetch_that_fails_says_why(hub, tmp_path):
    snapshot = HubSnapshot("owner/name", COMMIT, {"gone.bin": FileRecord(1, "")})
    with pytest.raises(PluginError, match=r"owner/name could not be fetched: 404"):
        fetch(snapshot, tmp_path, lambda _: None)


def test_no_hub_at_all(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(PluginError, match=r"the hub gave no owner/name: .+"):
        look_up(HubSource("owner/name"))


def test_without_the_client_library_it_says_what_to_install(monkeypatch):
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(PluginError, match="fetching owner/name needs the hub's client: pip install huggingface-hub"):
        look_up(HubSource("owner/name"))


def test_an_error_without_text_is_named_by_its_type(hub, monkeypatch):
    library = importlib.import_module("huggingface_hub")

    class Silent:
        def __init__(self, endpoint: str | None) -> None:
            raise ValueError

    monkeypatch.setattr(library, "HfApi", Silent)
    with pytest.raises(PluginError, match="the hub gave no owner/name: ValueError"):
        look_up(HubSource("owner/name"))
