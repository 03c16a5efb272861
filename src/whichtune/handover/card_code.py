"""The code of a model card: Python that loads an exported folder and answers a text, run from within the folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.evidence.summary import Summary
from whichtune.handover.told import SelfTest
from whichtune.records.record import RunRecord

if TYPE_CHECKING:
    from whichtune.handover.trained import Trained


@dataclass(frozen=True)
class Card:
    """What a card tells. `trained` is None for a baseline, which has no pretrained model below it."""

    summary: Summary
    record: RunRecord
    told: SelfTest
    trained: Trained | None
    notes: Sequence[str]
    difference: float | None


def loading_lines(card: Card) -> list[str]:
    """Python that loads the folder and answers a text, run from within the folder."""
    told = card.told
    if told.answers == "tags":
        return _tagging_lines(card)
    if told.form == "onnx":
        return _graph_lines(told)
    if told.kind == "words":
        return _writing_lines(card)
    source, auto, more = _auto_class(card)
    given = ", ".join(f'{name}=batch["{name}"]' for name in told.inputs)
    read = {
        "classes": ["probabilities = logits.softmax(dim=-1)"],
        "numbers": ["numbers = logits[:, 0]"],
        "labels": [
            "probabilities = logits.sigmoid()",
            'given = probabilities >= torch.tensor(json.load(open("config.json"))["label_thresholds"])',
        ],
    }[told.answers]
    return [
        *(["import json, torch"] if told.answers == "labels" else []),
        f"from {source} import {auto}",
        "from transformers import AutoTokenizer",
        f'tokenizer, model = AutoTokenizer.from_pretrained("."), {auto}.from_pretrained("."{more}).eval()',
        *_batch_lines(told, "pt"),
        f"logits = model({given}).logits",
        *_reading_lines(told),
        *read,
        *_class_lines(told, "numbers"),
    ]


def _tagging_lines(card: Card) -> list[str]:
    """A tagger in any form: `tokens` are those of each word of each text, and `tags` the words' tags."""
    told = card.told
    given = 'truncation=True, padding=True, return_offsets_mapping=True, return_tensors="pt"'
    lines = ["import json, onnxruntime, re" if told.form == "onnx" else "import json, re"]
    if told.form == "onnx":
        given = given.replace("pt", "np")
        session = 'onnxruntime.InferenceSession("model.onnx")'
        lines += [
            "from transformers import AutoTokenizer",
            f'tokenizer, session = AutoTokenizer.from_pretrained("."), {session}',
        ]
        names = 'json.loads(session.get_modelmeta().custom_metadata_map["labels"])'
        asked = f'{{name: batch[name].astype("int64") for name in {json.dumps(told.inputs)}}}'
        logits = f'(logits,) = session.run(["logits"], {asked})'
    else:
        source, auto, more = _auto_class(card)
        lines += [
            f"from {source} import {auto}",
            "from transformers import AutoTokenizer",
            f'tokenizer, model = AutoTokenizer.from_pretrained("."), {auto}.from_pretrained("."{more}).eval()',
        ]
        names = 'list(json.load(open("config.json"))["id2label"].values())'
        asked = ", ".join(f'{name}=batch["{name}"]' for name in told.inputs)
        logits = f"logits = model({asked}).logits{f'[:, {told.virtual_tokens}:]' if told.virtual_tokens else ''}"
    at = 0 if told.tag_token == "first" else -1
    return [
        *lines,
        f'texts, names = ["A text."], {names}',
        f"batch = tokenizer(texts, {given})",
        logits,
        "tokens = [",
        "    [[i for i, (a, b) in enumerate(spans) if a < word.end() and word.start() < b] for word in"
        ' re.finditer(r"\\S+", text)]',
        '    for text, spans in zip(texts, batch["offset_mapping"].tolist())',
        "]",
        f'tags = [[names[int(row[i[{at}]].argmax())] if i else "O" for i in of] for row, of in zip(logits, tokens)]',
    ]


def _class_lines(told: SelfTest, numbers: str) -> list[str]:
    """The nearest of ordered classes, where there are such."""
    if not told.ordered:
        return []
    last = len(told.ordered) - 1
    names = json.dumps(told.ordered, ensure_ascii=False)
    return [f"classes = [{names}[int(min(max(number, 0), {last}) + 0.5)] for number in {numbers}.tolist()]"]


def _graph_lines(told: SelfTest) -> list[str]:
    wanted = "numbers" if told.answers == "numbers" else "logits, probabilities"
    asked = json.dumps(wanted.split(", "))
    needed = ["json", "numpy"] if told.answers == "labels" else ["numpy"] if told.kind == "texts" else []
    lines = [f"import {', '.join([*needed, 'onnxruntime'])}"]
    if told.kind == "texts":
        lines += [
            'session = onnxruntime.InferenceSession("model.onnx")',
            'texts = numpy.array([["a text in lower case"]], dtype=object)',
            f'{wanted} = session.run({asked}, {{"texts": texts}}){"[0]" if told.answers == "numbers" else ""}',
        ]
    else:
        lines += [
            "from transformers import AutoTokenizer",
            'tokenizer, session = AutoTokenizer.from_pretrained("."), onnxruntime.InferenceSession("model.onnx")',
            *_batch_lines(told, "np"),
            f'tokens = {{name: batch[name].astype("int64") for name in {json.dumps(told.inputs)}}}',
            f"{wanted} = session.run({asked}, tokens){'[0]' if told.answers == 'numbers' else ''}",
        ]
    lines += _class_lines(told, "numbers[:, 0]")
    if told.answers == "labels":
        lines += [
            'thresholds = json.loads(session.get_modelmeta().custom_metadata_map["thresholds"])',
            "given = probabilities >= numpy.array(thresholds)",
        ]
    return lines


def _batch_lines(told: SelfTest, tensors: str) -> list[str]:
    """Texts to tokens: a text, a pair, or fields by their template."""
    if not told.fields:
        return [f'batch = tokenizer(["A text."], truncation=True, padding=True, return_tensors="{tensors}")']
    rows = f"texts = [{json.dumps([f'A {name}.' for name in told.fields], ensure_ascii=False)}]"
    if told.template is not None:
        given = f"[{told.template!r}.format(*fields) for fields in texts]"
    else:
        given = "*map(list, zip(*texts))"
    return [rows, f'batch = tokenizer({given}, truncation=True, padding=True, return_tensors="{tensors}")']


def _auto_class(card: Card) -> tuple[str, str, str]:
    """Where a class comes from, its name, and what it is told beside the folder."""
    told = card.told
    if told.form == "transformers":
        kind = "TokenClassification" if told.answers == "tags" else "SequenceClassification"
        return (
            "transformers",
            "AutoModelForCausalLM" if told.kind == "words" else f"AutoModelFor{kind}",
            "",
        )
    assert told.base_class is not None
    auto = told.base_class.replace("AutoModel", "AutoPeftModel")
    if told.kind == "words":
        return "peft", auto, ""
    padding = None if card.trained is None else card.trained.tokenizer.pad_token_id
    pads = "" if padding is None or told.reading is not None or told.answers == "tags" else f", pad_token_id={padding}"
    return "peft", auto, f", num_labels={len(told.labels)}{pads}"


def _reading_lines(told: SelfTest) -> list[str]:
    """How the logits of tokens become those of a text."""
    if told.reading is None:
        return []
    own = f"logits[:, {told.virtual_tokens}:]" if told.virtual_tokens else "logits"
    if told.reading == "first":
        return [f"logits = {own}[:, 0]"]
    if told.reading in ("last", "last_nonpad"):
        return [f'logits = {own}[range(len(logits)), batch["attention_mask"].sum(dim=1) - 1]']
    mask = 'batch["attention_mask"][:, :, None]'
    return [f"logits = ({own} * {mask}).sum(dim=1) / {mask}.sum(dim=1)"]


def _writing_lines(card: Card) -> list[str]:
    source, auto, _ = _auto_class(card)
    assert card.trained is not None
    if is_chat(card):
        return _chat_lines(card, source, auto)
    template = card.trained.spec.task_settings.get("template", "{document}\n")
    return [
        f"from {source} import {auto}",
        "from transformers import AutoTokenizer, GenerationConfig",
        f'tokenizer, model = AutoTokenizer.from_pretrained("."), {auto}.from_pretrained(".").eval()',
        f'prompt = {template!r}.replace("{{document}}", "A text.")',
        'batch = tokenizer([prompt], return_tensors="pt")',
        'written = model.generate(**batch, generation_config=GenerationConfig.from_pretrained("."))',
        'print(tokenizer.decode(written[0, batch["input_ids"].shape[1]:], skip_special_tokens=True))',
    ]


def is_chat(card: Card) -> bool:
    """Whether texts are conversations."""
    return bool((card.record.room or {}).get("chat"))


def _chat_lines(card: Card, source: str, auto: str) -> list[str]:
    assert card.trained is not None
    prompt, given = 'prompt = "User: A text.\\nAssistant:"', ""
    if card.trained.tokenizer.chat_template:
        prompt = "prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)"
        given = ", add_special_tokens=False"
    return [
        f"from {source} import {auto}",
        "from transformers import AutoTokenizer, GenerationConfig",
        f'tokenizer, model = AutoTokenizer.from_pretrained("."), {auto}.from_pretrained(".").eval()',
        *(['messages = [{"role": "user", "content": "A text."}]'] if given else []),
        prompt,
        f'batch = tokenizer([prompt], return_tensors="pt"{given})',
        'written = model.generate(**batch, generation_config=GenerationConfig.from_pretrained("."))',
        'print(tokenizer.decode(written[0, batch["input_ids"].shape[1]:], skip_special_tokens=True))',
    ]
