"""An exported folder, loaded as its user loads it: by transformers, peft or onnxruntime alone.

Shapes: B texts, T tokens, V virtual tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichtune.errors import ExportError
from whichtune.handover.graphs import GRAPH, NUMBERS, need_onnx
from whichtune.handover.inputs import batch_of
from whichtune.handover.tagged import batch_of_words, one_blank_between, words_of_tokens
from whichtune.handover.told import SelfTest

if TYPE_CHECKING:
    import numpy as np

BATCH = 16
UNTRUSTED = {"trust_remote_code": False}  # a folder's own Python code is never run
SAFELY = {"use_safetensors": True, **UNTRUSTED}


# Texts to logits (n, C) float64; of a tagger to those of all their words (sum of W, C).
Scores = Callable[[Sequence[str]], "np.ndarray"]


def answers(folder: Path, told: SelfTest, texts: Sequence[str]) -> np.ndarray | list[str]:
    """What the folder makes of texts: logits (n, C) float64 (of a tagger those of all words), probabilities of a graph
    that reads texts, numbers (n, 1), or texts.

    Raises ExportError where the folder cannot be loaded.
    """
    with _told(folder):
        return _written(folder, told) if told.kind == "words" else loaded(folder, told)(texts)


def loaded(folder: Path, told: SelfTest) -> Scores:
    """The folder, loaded once for however many texts: gives their logits, or the probabilities of a graph that reads
    texts. Raises ExportError where it cannot be loaded."""
    with _told(folder):
        if told.answers == "tags":
            return _word_logits(folder, told)
        return _graph_answers(folder, told) if told.form == "onnx" else _logits(folder, told)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Whatever the files say ends in one sentence."""
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"'{folder}' cannot be loaded ({type(error).__name__}: {reason}).") from error


def _quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    _quiet()
    return AutoTokenizer.from_pretrained(folder, **UNTRUSTED)


def _model(folder: Path, told: SelfTest) -> Any:
    """The model with whatever its form puts around it, evaluating, on the CPU."""
    import torch
    import transformers

    _quiet()
    if told.form == "transformers":
        kind = "TokenClassification" if told.answers == "tags" else "SequenceClassification"
        auto = f"AutoModelFor{'CausalLM' if told.kind == 'words' else kind}"
        return getattr(transformers, auto).from_pretrained(folder, dtype=torch.float32, **SAFELY).eval()
    from peft import PeftConfig, PeftModel

    adapter = PeftConfig.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder, **UNTRUSTED)
    assert told.base_class is not None
    base = getattr(transformers, told.base_class).from_pretrained(
        adapter.base_model_name_or_path,
        revision=adapter.revision,
        config=config,
        dtype=torch.float32,
        **SAFELY,
    )
    return PeftModel.from_pretrained(base, folder).eval()


def _logits(folder: Path, told: SelfTest) -> Scores:
    import numpy as np
    import torch

    tokenizer, model = _tokenizer(folder), _model(folder, told)

    def score(texts: Sequence[str]) -> np.ndarray:
        found = []
        for begin in range(0, len(texts), BATCH):
            batch = batch_of(tokenizer, told, texts[begin : begin + BATCH], "pt")
            with torch.no_grad():
                logits = model(**batch).logits
            found.append(read_of_tokens(logits, batch["attention_mask"], told))
        return np.concatenate([part.double().numpy() for part in found])

    return score


def _word_logits(folder: Path, told: SelfTest) -> Scores:
    """Of a tagger, whatever its form."""
    import numpy as np
    import torch

    tokenizer, graph = _tokenizer(folder), told.form == "onnx"
    model: Any = _session(folder) if graph else _model(folder, told)

    def of_tokens(batch: dict[str, Any]) -> np.ndarray:
        if graph:
            found: np.ndarray = model.run(["logits"], {name: part.astype(np.int64) for name, part in batch.items()})[0]
            return found
        with torch.no_grad():
            return np.asarray(model(**batch).logits)

    def score(texts: Sequence[str]) -> np.ndarray:
        found = []
        for begin in range(0, len(texts), BATCH):
            piece = one_blank_between(texts[begin : begin + BATCH])
            batch, words = batch_of_words(tokenizer, told, piece, "np" if graph else "pt")
            found.append(words_of_tokens(of_tokens(batch), words, told))
        return np.concatenate(found).astype(np.float64)

    return score


def read_of_tokens(logits: Any, mask: Any, told: SelfTest) -> Any:
    """The texts' logits (B, C) of those of their tokens (B, V + T, C), where a class for tokens gives these."""
    if told.reading is None:
        return logits
    own, lengths = logits[:, told.virtual_tokens :], mask.sum(dim=1)
    if told.reading == "first":
        return own[:, 0]
    if told.reading in ("last_nonpad", "last"):
        return own[range(len(own)), lengths - 1]
    return (own * mask[:, :, None]).sum(dim=1) / lengths[:, None]


def _written(folder: Path, told: SelfTest) -> list[str]:
    """What is written after the prompts, whose tokens stand in the folder."""
    import torch

    tokenizer, model = _tokenizer(folder), _model(folder, told)
    found = []
    for ids in told.input_ids:
        prompt = torch.tensor([ids])
        with torch.no_grad():
            written = model.generate(
                input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=_writing(folder, told)
            )
        found.append(written[0, len(ids) :].tolist())
    return [text.strip() for text in tokenizer.batch_decode(found, skip_special_tokens=True)]


def _writing(folder: Path, told: SelfTest) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig.from_pretrained(folder)


def _session(folder: Path) -> Any:
    need_onnx()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])


def _graph_answers(folder: Path, told: SelfTest) -> Scores:
    import numpy as np

    session = _session(folder)

    def of_texts(texts: Sequence[str]) -> np.ndarray:
        name = session.get_inputs()[0].name
        lower = np.array([[text.lower()] for text in texts], dtype=object)
        wanted = NUMBERS if told.answers == "numbers" else ["probabilities"]
        found: np.ndarray = session.run(wanted, {name: lower})[0]
        return found.astype(np.float64)

    if told.kind == "texts":
        return of_texts
    tokenizer = _tokenizer(folder)

    def of_tokens(texts: Sequence[str]) -> np.ndarray:
        batch = batch_of(tokenizer, told, texts, "np")
        given = {name: value.astype(np.int64) for name, value in batch.items()}
        logits: np.ndarray = session.run(NUMBERS if told.answers == "numbers" else ["logits"], given)[0]
        return logits.astype(np.float64)

    return of_tokens
