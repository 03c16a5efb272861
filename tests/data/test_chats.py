"""Conversations: read by their roles, rendered by the model's own template, and trained on the answer alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import inside
from whichtune.compare import prepare
from whichtune.data.chats import CHATS, as_messages
from whichtune.data.pair_encoding import PairEncoder, encode_pairs
from whichtune.data.pairs import load_pairs
from whichtune.errors import DataError, SettingError
from whichtune.models.loading import load_tokenizer
from whichtune.study.data_settings import DataSettings
from whichtune.study.load import parse_study

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
Said = list[tuple[str, str]]


def conversation(place: int) -> Said:
    first = [("system", "Answer in one word.")] if place % 2 else []
    middle = [("user", "Are you there?"), ("assistant", "yes")] if place % 3 else []
    return [*first, *middle, ("user", f"What is {place} and one?"), ("assistant", f"{place + 1}")]


def chat_file(folder: Path, rows: list[Said], name: str = "chats.jsonl") -> Path:
    lines = [json.dumps({"messages": [{"role": r, "content": c} for r, c in said]}) for said in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def test_the_last_answer_is_the_target_and_the_rest_the_text(tmp_path: Path) -> None:
    dataset = load_pairs(DataSettings(source=str(chat_file(tmp_path, [conversation(i) for i in range(30)]))), CHATS)
    assert dataset.chats
    split = dataset.splits["train"]
    for place, text, target in zip(split.ids, split.texts, split.targets, strict=True):
        said = conversation(int(place))
        assert [(each["role"], each["content"]) for each in as_messages(text)] == said[:-1]
        assert target == said[-1][1]


@pytest.mark.parametrize("template", [TEMPLATE, None])
def test_the_loss_is_on_the_answer_alone(tmp_path: Path, tiny_gpt2: Path, template: str | None) -> None:
    """Tokens are those of the rendered conversation, then those of the answer and its end."""
    dataset = load_pairs(DataSettings(source=str(chat_file(tmp_path, [conversation(i) for i in range(30)]))), CHATS)
    tokenizer = load_tokenizer(tiny_gpt2, False)
    tokenizer.chat_template = template
    encoder = PairEncoder(tokenizer, "{document}\n", False, False, chat=True)
    limits = {"context_length": "longest", "max_length": 128, "reserved": 0, "max_source": None, "max_new": None}
    encoded = encode_pairs(dataset, encoder, 0, False, None, **limits)  # type: ignore[arg-type]
    split, source = encoded.splits["train"], dataset.splits["train"]
    for row in range(len(split)):
        messages = as_messages(source.texts[row])
        if template is None:
            lines = [f"{each['role'].capitalize()}: {each['content']}" for each in messages]
            expected = "\n".join([*lines, "Assistant:"])
        else:
            expected = "".join(f"<{each['role']}>{each['content']}\n" for each in messages) + "<assistant>"
        assert tokenizer.decode(split.prompt(row)) == expected
        answer = split.tokens[row][split.prompt_lengths[row] :]
        assert tokenizer.decode(answer[:-1]).strip() == source.targets[row]
        assert answer[-1] == tokenizer.eos_token_id
        assert encoded.first_with_loss("train", row) == split.prompt_lengths[row]
    long = encoder.prompt(encoder.sources(["word " * 300])[0], 50)
    assert tokenizer.decode(long).endswith(expected[-len("assistant>") :])  # what is cut is the beginning


REFUSED: dict[str, tuple[Said, str]] = {
    "a role": ([("user", "a"), ("robot", "b")], "Message 2 of Row 2 of chats.jsonl has the role 'robot'"),
    "no answer": ([("user", "a"), ("assistant", "b"), ("user", "c")], "does not end with a message of the assistant"),
    "two turns": ([("user", "a"), ("user", "c"), ("assistant", "b")], "Message 2 of Row 2 .* assistant's turn was due"),
    "the answer first": ([("assistant", "b")], "the user's turn was due"),
    "an empty one": ([("user", " "), ("assistant", "b")], "Message 1 of Row 2 .* has no text for its content"),
    "no message": ([], "Row 2 of chats.jsonl has no message"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_conversation_is_refused(tmp_path: Path, case: str) -> None:
    said, sentence = REFUSED[case]
    file = chat_file(tmp_path, [conversation(0), said, *[conversation(i) for i in range(28)]])
    with pytest.raises(DataError, match=sentence):
        load_pairs(DataSettings(source=str(file)), CHATS)


def test_columns_of_texts_and_targets_come_first(tmp_path: Path) -> None:
    rows = [{"messages": "none", "prompt": f"say {i}", "answer": f"{i}"} for i in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = load_pairs(DataSettings(source=str(tmp_path / "a.jsonl")), CHATS)
    assert not dataset.chats
    with pytest.raises(DataError, match="has a text for a conversation"):
        load_pairs(DataSettings(source=str(tmp_path / "a.jsonl"), text_column="messages"), CHATS)


@pytest.mark.slow
def test_from_conversations_to_an_exported_row(tmp_path: Path, tiny_gpt2: Path) -> None:
    file = chat_file(tmp_path, [conversation(i) for i in range(30)])
    study = tmp_path / "study"
    arguments = ["--task", "text_to_text", "--data", str(file), "--model", str(tiny_gpt2), "--methods", "lora"]
    more = ["--seeds", "0", "--set", "max_steps=2", "--set", "max_new_tokens=4", "--save", "all"]
    inside("compare", *arguments, *more, "--out", str(study))
    inside("predict", str(study), "lora", str(file), "--out", str(tmp_path / "out.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[3]["text"].startswith("system: Answer in one word. | user: ")
    inside("export", str(study), "lora", str(tmp_path / "exported"))
    assert "Equal" in inside("selftest", str(tmp_path / "exported")).stdout
    assert "User: A text." in (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")
    assert "\x1f" not in (study / "report.html").read_text(encoding="utf-8")
    value = {"task": "text_to_text", "data": str(file), "model": str(tiny_gpt2), "seeds": [0], "methods": ["lora"]}
    chosen = parse_study({**value, "settings": {"template": "{document} ->"}}, "t")
    with pytest.raises(SettingError, match="read by the model's own template"):
        prepare(chosen)
