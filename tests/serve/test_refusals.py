"""What is not answered: one clear sentence, as JSON over the wire and with exit code 2 on the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from command import inside
from serve.running import Running, running
from whichtune.handover.serve.limits import Limits
from whichtune.handover.serve.rows import Served
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run

SMALL = Limits(text_characters=50, texts=3, body_bytes=400, upload_bytes=300, queued_texts=8)
TOKEN = "a-long-enough-secret"


@pytest.fixture(scope="module")
def strict(served: Served):
    with running(served, SMALL, TOKEN, ("127.0.0.1",)) as found:
        yield found


def refused(answer) -> tuple[int, str]:
    error = answer.json["error"]
    assert set(error) == {"code", "message"}
    assert error["message"].endswith(".")
    assert "\n" not in error["message"]
    return answer.status, error["code"]


ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
BODIES = {
    "no JSON": ("{", 400, "no_json"),
    "deep JSON": ("[" * 150, 400, "no_json"),
    "no object": ("[]", 422, "no_texts"),
    "another key": ('{"text": "a"}', 422, "no_texts"),
    "one more key": ('{"texts": ["a"], "row": "b"}', 422, "no_texts"),
    "no list": ('{"texts": "a"}', 422, "no_texts"),
    "no text in it": ('{"texts": []}', 422, "no_texts"),
    "a number": ('{"texts": ["a", 3]}', 422, "no_text"),
    "a list": ('{"texts": [["a"]]}', 422, "no_text"),
    "nothing": ('{"texts": [null]}', 422, "no_text"),
    "an empty text": ('{"texts": ["a", "  "]}', 422, "empty_text"),
    "half a letter": ('{"texts": ["\\ud800"]}', 422, "no_text"),
    "a long text": (json.dumps({"texts": ["a" * 51]}), 413, "text_too_long"),
    "many texts": ('{"texts": ["a", "b", "c", "d"]}', 413, "too_many_texts"),
    "a long body": (json.dumps({"texts": ["a" * 500]}), 413, "body_too_large"),
    "no UTF-8": (b'{"texts": ["\xff"]}', 400, "no_json"),
}


@pytest.mark.parametrize("case", BODIES)
def test_bodies(strict: Running, case: str) -> None:
    body, status, code = BODIES[case]
    assert refused(strict.send(body, **ALLOWED)) == (status, code)


def test_a_body_without_a_length_is_cut_off(strict: Running) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", strict.port)
    headers = {"Content-Type": "application/json", **ALLOWED}
    pieces = (b'{"texts": ["' + b"a" * 450 for _ in range(2))
    connection.request("POST", "/predict", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == 413


def test_other_types_are_refused(strict: Running) -> None:
    """Also what a page of another site could send unasked."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert refused(strict.ask("POST", "/predict", "{}", {"Content-Type": kind, **ALLOWED}))[0] == 415
        assert refused(strict.ask("POST", "/batch", "text\na\n", {"Content-Type": kind, **ALLOWED}))[0] == 415


FILES = {
    "an empty file": (b"", "text/csv", "unusable_file"),
    "no text column": (b"a,b\n1,2\n", "text/csv", "unusable_file"),
    "an empty text": (b'text\na\n""\n', "text/csv", "unusable_file"),
    "a row that does not fit": (b"text\na\nb,c\n", "text/csv", "unusable_file"),
    "no JSON": (b"{\n", "application/jsonl", "unusable_file"),
    "an archive": (b"PK\x03\x04" + b"0" * 40, "text/csv", "unusable_file"),
    "a long text": (b"text\n" + b"a" * 51, "text/csv", "text_too_long"),
    "a large file": (b"text\n" + b"a\n" * 200, "text/csv", "body_too_large"),
}


@pytest.mark.parametrize("case", FILES)
def test_files(strict: Running, case: str) -> None:
    body, kind, code = FILES[case]
    answer = strict.ask("POST", "/batch", body, {"Content-Type": kind, **ALLOWED})
    assert refused(answer) == (413 if code in ("text_too_long", "body_too_large") else 422, code)
    again = strict.ask("POST", "/batch", b"text\nhello\n", {"Content-Type": "text/csv", **ALLOWED})
    assert again.status == 200  # nothing is held by those that failed


def test_addresses_and_methods(strict: Running) -> None:
    assert refused(strict.ask("GET", "/nothing", headers=ALLOWED)) == (404, "not_found")
    assert refused(strict.ask("GET", "/predict", headers=ALLOWED)) == (405, "wrong_method")
    assert refused(strict.ask("GET", "/health", headers={"Host": "evil.example"})) == (421, "wrong_host")


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_the_token_is_asked_for(strict: Running, given: str) -> None:
    headers = {"Authorization": given.encode("utf-8").decode("latin-1")} if given else {}
    for path in ("/metadata", "/openapi.json", "/nothing"):
        answer = strict.ask("GET", path, headers=headers)
        assert refused(answer) == (401, "no_token")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert refused(strict.predict(["a"], **headers)) == (401, "no_token")
    assert strict.ask("GET", "/health").status == 200
    assert TOKEN not in strict.ask("GET", "/").body.decode()


def test_the_token_lets_in(strict: Running) -> None:
    assert strict.predict(["a"], **ALLOWED).status == 200
    assert strict.predict(["a"], Authorization=f"bearer {TOKEN}").status == 200
    described = strict.ask("GET", "/openapi.json", headers=ALLOWED).json
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_every_answer_keeps_browsers_in(strict: Running) -> None:
    for answer in (strict.ask("GET", "/"), strict.ask("GET", "/metadata"), strict.predict([], **ALLOWED)):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


# -- the command line --------------------------------------------------------------------------------


COMMANDS = {
    "unknown row": (["head_onli"], "did you mean 'head_only'"),
    "unknown seed": (["head_only", "--seed", "9"], "has no seed 9: there are 0 and 1"),
    "a seed of a row without": (["majority", "--seed", "0"], "draws nothing"),
    "no such row beside": (["head_only", "--compare", "lora"], "has no row 'lora'"),
    "itself beside": (["head_only", "--compare", "head_only"], "is the row that is served already"),
    "no such host": (["--host", "no such host"], "is no address"),
    "an empty host": (["--host", ""], "is no address"),
    "a host of another machine": (["--host", "192.0.2.1", "--no-token"], "is no address of this machine"),
    "a host that others reach": (["--host", "0.0.0.0"], "give --token, or --no-token"),
    "a short token": (["--token", "short"], "too short"),
    "a token with blanks": (["--token", "with blanks in it"], "no header takes"),
    "token and none": (["--token", TOKEN, "--no-token"], "contradict each other"),
    "no such port": (["--port", "70000"], "less than or equal to 65535"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_bad_commands(saved: StudyFolder, case: str) -> None:
    words, sentence = COMMANDS[case]
    said = inside("serve", str(saved.path), *words, code=2)
    assert sentence in said.stderr
    assert said.stderr.startswith("Error: ")
    assert said.stderr.count("\n") == 1
    assert said.stdout == ""


def test_a_port_that_is_taken(saved: StudyFolder) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"Port {port} of 127.0.0.1 is taken" in inside("serve", str(saved.path), "--port", port, code=2).stderr


def test_folders_that_cannot_be_served(saved: StudyFolder, tmp_path: Path) -> None:
    copy = StudyFolder(shutil.copytree(saved.path, tmp_path / "copy"))

    def refusal(*words: str) -> str:
        return inside("serve", str(copy.path), *words, code=2).stderr

    (weights,) = copy.weight_files(find_run(copy, "head_only:0").run_id)
    weights.unlink()
    assert "were not saved: run the study again with --save all" in refusal("head_only", "--seed", "0")
    (weights,) = copy.weight_files(find_run(copy, "head_only:1").run_id)
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    assert "was changed after it was written" in refusal("head_only", "--seed", "1", "--port", "0")
    for run in copy.runs.iterdir():
        for file in copy.weight_files(run.name):
            file.unlink()
    assert "has no saved row: run the study again with --save all" in refusal()
    summary = copy.read_json("summary.json")
    copy.write_json("summary.json", {**summary, "schema_version": 99})
    assert "schema version 99, and this whichtune reads version 1" in refusal()
    shutil.rmtree(copy.path)
    assert "There is no study folder" in refusal()


def test_the_default_row(saved: StudyFolder, tmp_path: Path) -> None:
    from whichtune.evidence.stored import believed_summary
    from whichtune.handover.serve.choose import served_run

    copy = StudyFolder(shutil.copytree(saved.path, tmp_path / "copy"))
    summary = believed_summary(copy)
    recommended = summary.verdict.recommended
    chosen = served_run(copy, None)
    assert (chosen.record.label, chosen.why) == (recommended, "the row that the study recommends")
    for run in summary.runs:
        if run.label == recommended:
            for file in copy.weight_files(run.run_id):
                file.unlink()
    other = served_run(copy, None)
    rest = [run for run in summary.runs if run.label != recommended]
    assert other.record.metrics.validation.accuracy == max(run.metrics.validation.accuracy for run in rest)
    assert f"since '{recommended}', which the study recommends, was not" in other.why


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_server_answers_what_is_under_way(saved: StudyFolder, number: signal.Signals) -> None:
    import http.client

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-m", "whichtune", "serve", str(saved.path), "head_only", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    port = int(ready.partition("127.0.0.1:")[2].partition(";")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    rows = 3000
    body = "text\n" + "".join(f"call me {i}\n" for i in range(rows))
    connection.request("POST", "/batch", body, {"Content-Type": "text/csv"})
    response = connection.getresponse()
    first = response.read(10)
    process.send_signal(number)
    lines = (first + response.read()).decode().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["text", *(f"call me {i}" for i in range(rows))]
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "Stopped.\n", "")
