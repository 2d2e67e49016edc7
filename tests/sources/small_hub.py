"""A hub of one set, on this machine: what `huggingface_hub` and `datasets` ask of the real one to stream a set."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def small_hub(name: str, files: dict[str, bytes], silent: str = "", commit: str = COMMIT) -> Iterator[str]:
    """Yield the address of a hub with one set; for addresses that `silent` is found in it never answers."""
    over = threading.Event()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self.answer(asked)

        def do_GET(self) -> None:
            self.answer("")

        def answer(self, asked: str) -> None:
            path = unquote(urlsplit(self.path).path)
            if silent and re.search(silent, path):
                over.wait(60)
                return
            if path.startswith(f"/api/datasets/{name}/tree/") or path.startswith(f"/api/datasets/{name}/paths-info/"):
                inside = re.sub(f"^/api/datasets/{name}/(tree|paths-info)/[^/]+/?", "", path)
                self.send(json.dumps(self.listed(inside, asked, "paths-info" in path)).encode(), "application/json")
            elif path.startswith(f"/api/datasets/{name}"):
                siblings = [{"rfilename": file} for file in files]
                said = {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": []}
                self.send(json.dumps(said).encode(), "application/json")
            elif (found := re.match(f"/datasets/{name}/resolve/[^/]+/(.+)", path)) and found[1] in files:
                self.send(files[found[1]], "application/octet-stream")
            else:
                kind = "EntryNotFound" if path.startswith(f"/datasets/{name}/") else "RepoNotFound"
                self.send(b"{}", "application/json", 404, {"X-Error-Code": kind})

        def listed(self, inside: str, asked: str, by_path: bool) -> list[dict[str, object]]:
            wanted = json.loads(asked)["paths"] if by_path and asked.startswith("{") else None
            if by_path and wanted is None:
                wanted = [unquote(part.partition("=")[2]) for part in asked.split("&") if part.startswith("paths=")]
            found: dict[str, dict[str, object]] = {}
            for file, content in files.items():
                for folder in [file[: place.start()] for place in re.finditer("/", file)]:
                    found[folder] = {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
                oid = hashlib.sha1(content).hexdigest()
                found[file] = {"type": "file", "path": file, "oid": oid, "size": len(content)}
            if by_path:
                return [found[path] for path in wanted or () if path in found]
            return [each for path, each in found.items() if path.startswith(f"{inside}/" if inside else "")]

        def send(self, body: bytes, kind: str, status: int = 200, more: dict[str, str] | None = None) -> None:
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            whole = len(body)
            if span and status == 200:
                end = min(int(span[2] or whole - 1), whole - 1)
                body, status = body[int(span[1]) : end + 1], 206
                more = {"Content-Range": f"bytes {span[1]}-{end}/{whole}", **(more or {})}
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), "X-Repo-Commit": commit}
            headers |= {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "Accept-Ranges": "bytes", **(more or {})}
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
