"""What a server answers: the row's own answers, each to its own text, alone or among others."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import random
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from serve.running import Running, running
from whichtune.errors import ModelError
from whichtune.handover.serve.batching import Batcher
from whichtune.handover.serve.limits import RequestError
from whichtune.handover.serve.rows import Served, load, pick
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run, predict_file
from whichtune.tasks import TASKS
from whichtune.tasks.classification.task import Classification

NEAR = 1e-5


def made_texts(n: int) -> list[str]:
    """Distinct texts of unlike lengths."""
    draw = random.Random(n)
    words = ["call", "me", "prize", "claim", "tonight", "free", "meeting", "money", "win", "see", "you", "later"]
    return [f"{i} " + " ".join(draw.choices(words, k=draw.randint(1, 25))) for i in range(n)]


def alone(served: Served, texts: Sequence[str]) -> dict[str, list[tuple[str, dict[str, float]]]]:
    """What each row answers to each text by itself."""
    found = {}
    for text in texts:
        (answers,) = served.answers([text])
        found[text] = [(said, dict(zip(served.labels, shares, strict=True))) for said, shares in answers]
    return found


def same(given: dict, expected: tuple[str, dict[str, float]]) -> bool:
    label, shares = expected
    return given["label"] == label and given["probabilities"] == pytest.approx(shares, abs=NEAR)


def test_both_rows_answer_each_text(server: Running, served: Served) -> None:
    texts = made_texts(7)
    found = server.predict(texts)
    assert found.status == 200
    assert found.json["row"] == "head_only"
    assert found.json["compared"]["row"] == "tfidf_word"
    expected = alone(served, texts)
    for text, ours, beside in zip(texts, found.json["predictions"], found.json["compared"]["predictions"], strict=True):
        assert same(ours, expected[text][0])
        assert same(beside, expected[text][1])
        assert sum(ours["probabilities"].values()) == pytest.approx(1)


def test_answers_are_those_of_predict(server: Running, saved: StudyFolder, tmp_path: Path) -> None:
    texts = made_texts(5)
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "t.csv", index=False)
    table = predict_file(saved, find_run(saved, "head_only:1"), tmp_path / "t.csv", None)
    given = server.predict(texts).json["predictions"]
    assert [each["label"] for each in given] == list(table["prediction"])
    shares = [each["probabilities"]["spam"] for each in given]
    assert shares == pytest.approx(list(table["probability of spam"]), abs=NEAR)


def test_no_answer_is_lost_or_mixed_up_under_load(server: Running, served: Served) -> None:
    """100 requests by 8 clients, each with texts of its own."""
    texts = made_texts(180)
    draw = random.Random(1)
    expected = alone(served, texts)
    asked = [[draw.choice(texts) for _ in range(draw.randint(1, 4))] for _ in range(100)]
    answered: dict[int, list[dict]] = {}

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for place in range(number, len(asked), 8):
            body = json.dumps({"texts": asked[place]})
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answered[place] = json.loads(connection.getresponse().read())["predictions"]
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answered) == list(range(100))
    for place, texts_asked in enumerate(asked):
        assert len(answered[place]) == len(texts_asked)
        assert all(same(a, expected[t][0]) for a, t in zip(answered[place], texts_asked, strict=True))


def test_requests_that_arrive_together_are_one_pass() -> None:
    passes: list[list[str]] = []

    def shout(texts: list[str]) -> list[str]:
        passes.append(texts)
        return [text.upper() for text in texts]

    async def main() -> list[list[str]]:
        async with Batcher(shout, 8, 100) as batcher:
            return await asyncio.gather(*(batcher.ask([f"a{i}", f"b{i}"]) for i in range(6)))

    assert asyncio.run(main()) == [[f"A{i}", f"B{i}"] for i in range(6)]
    assert [len(texts) for texts in passes] == [8, 4]  # whole requests, up to eight texts


def test_a_text_that_fails_leaves_the_others_their_answers() -> None:
    def careful(texts: list[str]) -> list[str]:
        if "bad" in texts:
            raise ModelError("The tokenizer makes no token of the text in row 1: remove it.")
        return texts

    async def main() -> list[object]:
        async with Batcher(careful, 8, 100) as batcher:
            asked = (batcher.ask([text]) for text in ("a", "bad", "c"))
            return await asyncio.gather(*asked, return_exceptions=True)

    first, failed, last = asyncio.run(main())
    assert (first, last) == (["a"], ["c"])
    assert isinstance(failed, ModelError)


def test_a_full_queue_is_said_to_be() -> None:
    going = threading.Event()

    def slow(texts: list[str]) -> list[str]:
        going.wait()
        return texts

    async def main() -> None:
        async with Batcher(slow, 2, 4) as batcher:
            first = asyncio.create_task(batcher.ask(["a", "b"]))
            await asyncio.sleep(0)
            waiting = asyncio.create_task(batcher.ask(["c", "d"]))
            await asyncio.sleep(0)
            with pytest.raises(RequestError, match="texts wait already") as refused:
                await batcher.ask(["e", "f", "g"])
            assert refused.value.status == 503
            patient = asyncio.create_task(batcher.ask(["h", "i", "j"], patient=True))
            going.set()
            assert await asyncio.gather(first, waiting, patient) == [["a", "b"], ["c", "d"], ["h", "i", "j"]]

    asyncio.run(main())


@pytest.mark.parametrize(("media", "kind"), [("text/csv", "csv"), ("application/jsonl", "jsonl")])
def test_a_file_comes_back_in_its_format_and_order(server: Running, served: Served, media: str, kind: str) -> None:
    texts = [*made_texts(150), "=1+1", 'quotes " and, commas\nand lines']
    frame = pd.DataFrame({"number": range(len(texts)), "text": texts})
    body = frame.to_csv(index=False) if kind == "csv" else frame.to_json(orient="records", lines=True)
    found = server.ask("POST", "/batch", body.encode(), {"Content-Type": media})
    assert found.status == 200
    assert found.headers["content-type"].startswith(media)
    text = io.StringIO(found.body.decode())
    table = pd.read_csv(text) if kind == "csv" else pd.read_json(text, lines=True)
    assert list(table["text"]) == [f"'{t}" if kind == "csv" and t[0] == "=" else t for t in texts]
    expected = alone(served, texts)
    for place, name in enumerate(served.names):
        assert list(table[f"prediction by {name}"]) == [expected[t][place][0] for t in texts]
        shares = [expected[t][place][1]["spam"] for t in texts]
        assert list(table[f"probability of spam by {name}"]) == pytest.approx(shares, abs=NEAR)


def test_a_row_alone_and_a_column_by_its_name(saved: StudyFolder) -> None:
    with running(load(pick(saved, None, None, None), remote_code=False)) as server:
        given = server.predict(["call me"]).json
        assert set(given) == {"row", "predictions"}
        found = server.ask("POST", "/batch?text_column=note", b"note\ncall me\n", {"Content-Type": "text/csv"})
        assert found.body.decode().splitlines()[0].startswith("text,prediction,probability of ")


def test_what_is_known_is_told(server: Running, saved: StudyFolder) -> None:
    about = server.ask("GET", "/metadata").json
    record = find_run(saved, "head_only:1")
    matrix = record.metrics.test.confusion_matrix
    row = about["rows"][0]
    assert (row["run_id"], row["seed"], row["test"]["accuracy"]) == (record.run_id, 1, record.metrics.test.accuracy)
    for place, label in enumerate(record.labels):
        assert row["said"][label] == {"texts": sum(line[place] for line in matrix), "right": matrix[place][place]}
    assert about["classes"] == record.labels
    assert about["evidence"]["headline"]
    assert about["versions"]["whichtune"]
    assert server.ask("GET", "/health").json == {"status": "ok"}


def test_the_description_fits_what_is_sent(server: Running) -> None:
    described = server.ask("GET", "/openapi.json").json
    assert set(described["paths"]) == {"/predict", "/batch", "/health", "/metadata"}
    schemas = described["components"]["schemas"]

    def required(name: str) -> set[str]:
        return set(schemas[name]["required"])

    assert required("PredictRequest") == {"texts"}
    assert required("PredictResponse") - {"compared"} <= set(server.predict(["a b"]).json)
    assert required("Metadata") == set(server.ask("GET", "/metadata").json)
    assert required("ErrorResponse") == set(server.predict([]).json)
    text = json.dumps(described)
    assert all(name in schemas for name in re.findall(r"#/components/schemas/(\w+)", text))


class NamesAlone(Classification):
    """A task of one's own that gives no probabilities."""

    def predict(self, spec, record, folder, texts):
        return super().predict(spec, record, folder, texts)[["text", "prediction"]]


def test_a_task_without_probabilities(saved: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS._all, "classification", NamesAlone())
    with running(load(pick(saved, "majority", None, None), remote_code=False)) as server:
        (given,) = server.predict(["call me"]).json["predictions"]
        assert given["label"] in find_run(saved, "majority").labels
        assert given["probabilities"] == {}


def test_written_texts(notes: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    from whichtune.compare import compare
    from whichtune.study.load import parse_study

    value = {
        "task": "summarisation",
        "data": str(notes),
        "model": str(tiny_gpt2),
        "seeds": [0],
        "methods": ["head_only"],
    }
    value |= {"baselines": ["lead_1"], "settings": {"max_steps": 1, "max_new_tokens": 4}}
    result = compare(parse_study(value, "notes"), tmp_path / "s", save="all", threads=1)
    folder = StudyFolder(result.folder)
    texts = ["One sentence stands here first. Then another one follows.", "A second document is this one."]
    with running(load(pick(folder, "head_only", None, "lead_1"), remote_code=False)) as server:
        given = server.predict(texts).json
        assert [set(each) for each in given["predictions"]] == [{"text"}, {"text"}]
        assert given["compared"]["predictions"][0]["text"].lower().startswith("one sentence stands here")
        rows = server.ask("POST", "/batch", json.dumps({"document": texts[0]}), {"Content-Type": "application/jsonl"})
        assert rows.json["prediction by lead_1"] == given["compared"]["predictions"][0]["text"]
        assert server.ask("GET", "/metadata").json["classes"] == []
