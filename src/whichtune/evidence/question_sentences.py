"""A question and its answer, each in one plain sentence: `Training the last two blocks instead of one gains 3.3 points
(0.4 to 6.1) for 1.2 times the time.`"""

from __future__ import annotations

from whichtune.evidence.decision_sentences import amount
from whichtune.evidence.questions import Asked
from whichtune.evidence.sentences import ABOUT_EQUAL, ratio
from whichtune.metrics import METRICS
from whichtune.stats.results import Comparison, in_text
from whichtune.wording import number

TRAINED = {
    "untuned": "nothing",
    "head_only": "the head alone",
    "linear_probe": "the head alone",
    "last_block": "the last block",
    "last_two_blocks": "the last two blocks",
    "full": "all layers",
}
METHODS = {
    "untuned": "no training",
    "head_only": "a trained head",
    "linear_probe": "a closed-form probe",
    "last_block": "the last block alone",
    "last_two_blocks": "the last two blocks alone",
    "full": "full fine-tuning",
    "lora": "LoRA",
    "soft_prompt": "soft prompts",
    "prefix_tuning": "prefix tuning",
}
TOKENS = {
    "first": "the first token",
    "last": "the last position",
    "last_nonpad": "the last token",
    "mean": "the mean of all positions",
    "mean_nonpad": "the mean of all tokens",
}
QUESTIONS = {
    "layers": "How many layers should be trained?",
    "probe": "Is a closed-form probe enough for a head?",
    "token position": "Which token should be read?",
    "starting weights": "Do pretrained weights help?",
    "model": "Which model?",
    "words": "Does fine-tuning beat a row without a language model?",
    "declared": "Other comparisons",
}


def question_of(asked: Asked) -> str:
    """What stands over the answer."""
    if asked.topic in ("adapter", "method"):
        first, second = (METHODS.get(name, in_text(name)) for name in asked.methods)
        return f"{_capital(first)} or {second}?"
    return QUESTIONS.get(asked.topic, f"Which {asked.topic}?")


def answer_of(asked: Asked, result: Comparison, several: bool = False) -> str:
    """The answer from the pair's corrected test. `several`: whether rows of other methods ask the same."""
    return _answer(_subject(asked) + (f" ({in_text(asked.methods[0])})" if several else ""), result)


def answer_of_pair(result: Comparison) -> str:
    """The same by the names of the two rows."""
    return _answer(f"{in_text(result.a)} instead of {in_text(result.b)}", result)


def _subject(asked: Asked) -> str:
    a, b = asked.methods
    if asked.topic == "declared":
        return f"{in_text(asked.a)} instead of {in_text(asked.b)}"
    if asked.topic == "layers":
        if asked.methods == ("last_two_blocks", "last_block"):
            return "Training the last two blocks instead of one"
        return f"Training {TRAINED[a]} instead of {TRAINED[b]}"
    if asked.values is None:
        return f"{_capital(METHODS.get(a, in_text(a)))} instead of {METHODS.get(b, in_text(b))}"
    x, y = asked.values
    if asked.topic == "token position":
        return f"Reading {TOKENS.get(x, x)} instead of {TOKENS.get(y, y)}"
    if asked.topic == "starting weights":
        return f"Starting from {x} weights instead of {y} ones"
    if asked.topic == "model":
        return f"{x} instead of {y}"
    return f"{_capital(asked.topic)} {x} instead of {y}"


def _answer(subject: str, result: Comparison) -> str:
    if result.difference is None:
        return f"{subject} was not compared: one of the two has no result."
    sign = 1.0 if METRICS[result.metric].higher_is_better else -1.0
    gain = sign * result.difference
    reach = _reach(result, sign if gain >= 0 else -sign)
    size = amount(result.metric, abs(gain))
    verb = "gains" if gain >= 0 else "loses"
    one = " with this one seed" if result.holds_for == "models" and result.seeds != [None] else ""
    if not gain and result.verdict != "equivalent":
        text = f"{subject} changed nothing here, yet might elsewhere{reach},"
    elif result.verdict in ("better", "worse"):
        text = f"{subject} {verb} {size}{reach}{one}"
    elif result.verdict == "equivalent":
        text = f"{subject} makes no difference that matters: it {verb} {size}{reach}, shown to be within the margin"
    else:
        text = f"{subject} {'gained' if gain >= 0 else 'lost'} {size}{one}, which may be chance{reach},"
    return f"{text.rstrip(',')}{_time(result, ',' if text.endswith(',') else '')}."


def _reach(result: Comparison, sign: float) -> str:
    """The 95 % interval, lowest end first, in the direction of the verb."""
    if result.interval is None:
        return ""
    digits = 1 if METRICS[result.metric].unit == "points" else 3
    low, high = sorted(sign * end for end in result.interval)
    return f" ({number(low, digits)} to {number(high, digits)})"


def _time(result: Comparison, before: str) -> str:
    times = result.cost_ratios.get("training_seconds")
    if times is None:
        return ""
    if abs(times - 1) <= ABOUT_EQUAL:
        return f"{before} in the same time"
    return f"{before} {'for' if times > 1 else 'in'} {ratio(times)} the time"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
