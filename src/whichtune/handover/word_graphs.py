"""Form `onnx` of TF-IDF of words: texts in lower case in, log-probabilities and probabilities out, or numbers.

skl2onnx writes the counting of words and word pairs. What follows is written here: its own sublinear weight is
log(1 + count), and scikit-learn's is 1 + log(count). Lower case is left to the caller, because the operator for it asks
the machine for a locale that may not be installed.

Shapes: n texts, V terms, C classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from whichtune.errors import ExportError
from whichtune.handover.forms import Form
from whichtune.handover.graphs import GRAPH, NUMBERS, OUTPUTS, name_classes, need_onnx
from whichtune.handover.outcomes import Answers, answers_of, outputs_of
from whichtune.records.record import RunRecord
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    import numpy as np

    from whichtune.baselines.tfidf import FittedTfidf

OPSET = 18
INPUT = "texts"
OF_WORDS = ("tfidf_word", "ridge_word", "labels_word")
OF_CHARACTERS = ("tfidf_char", "ridge_char", "labels_char")
WORDS = r"[\p{L}\p{N}_]{2,}"  # what Python's \w\w+ is, in the words of the graph's tokenizer


def write_word_graph(spec: RunSpec, record: RunRecord, place: Path, folder: Path) -> Form:
    """Write `model.onnx` of a fitted baseline that `why_no_graph` has nothing against."""
    from whichtune.baselines import fitted_baseline

    onnx = need_onnx()
    fitted = cast("FittedTfidf", fitted_baseline(record.method).load(place))
    answers, outputs = answers_of(spec), outputs_of(spec, record)
    every = _of_all_classes(spec, record, fitted) if answers == "classes" else (fitted.weight, fitted.bias)
    graph = _counting(fitted)
    _judge_counts(onnx, graph, fitted.vectoriser.idf_, *every, answers)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(folder / GRAPH))
    name_classes(onnx, folder / GRAPH, list(outputs.names), outputs.thresholds)
    return Form("onnx", "onnxruntime.InferenceSession", opset=OPSET)


def why_no_graph(spec: RunSpec) -> str | None:
    """Why a baseline cannot be a graph, as the end of a sentence; None where it can."""
    method = spec.method
    if method in OF_WORDS:
        if len(spec.data.text_columns) > 1:
            return "it counts which words its text columns share, which is written for one column alone"
        return None
    if method in OF_CHARACTERS:
        return "it counts character n-grams within words (char_wb), for which ONNX has no operator"
    if method == "word_tag":
        return "it is a table of words and their tags, which none of the forms holds: use whichtune predict or serve"
    return f"{method} has no trained weights that another program could load"


def _of_all_classes(spec: RunSpec, record: RunRecord, fitted: FittedTfidf) -> tuple[np.ndarray, np.ndarray]:
    """A row of `weight` (C, V) and of `bias` (C,) for every class, as a softmax has them."""
    import numpy as np

    from whichtune.tasks.classification.ignored import ABSENT_LOGIT, fitted_classes

    weight, bias = fitted.weight, fitted.bias
    if len(weight) == 1:  # two classes by one score
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.concatenate([np.zeros(1), bias])
    known = fitted_classes(spec, record.labels)
    every, biases = np.zeros((len(record.labels), weight.shape[1])), np.full(len(record.labels), ABSENT_LOGIT)
    every[known], biases[known] = weight, bias
    return every, biases


def _counting(fitted: FittedTfidf) -> Any:
    """The graph that counts a text's terms: (n, 1) strings to (n, V) float32."""
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import StringTensorType
    except ImportError as error:
        raise ExportError(
            f"The form onnx of TF-IDF needs {error.name}, which is not installed: pip install 'whichtune[onnx]'."
        ) from error
    from sklearn.feature_extraction.text import CountVectorizer

    own = fitted.vectoriser
    counter = CountVectorizer(vocabulary=own.vocabulary_, ngram_range=own.ngram_range, lowercase=False)
    counter.vocabulary_ = own.vocabulary_
    return convert_sklearn(
        counter,
        initial_types=[(INPUT, StringTensorType([None, 1]))],
        options={id(counter): {"tokenexp": WORDS}},
        target_opset=OPSET,
    )


# What follows the linear layer: kind of node, given, made, attributes.
Step = tuple[str, list[str], str, dict[str, object]]
ENDS: dict[str, list[Step]] = {
    "classes": [("LogSoftmax", ["biased"], OUTPUTS[0], {"axis": 1}), ("Exp", [OUTPUTS[0]], OUTPUTS[1], {})],
    "labels": [("Identity", ["biased"], OUTPUTS[0], {}), ("Sigmoid", ["biased"], OUTPUTS[1], {})],
    "numbers": [("Identity", ["biased"], NUMBERS[0], {})],
}


def _judge_counts(
    onnx: Any, model: Any, idf: np.ndarray, weight: np.ndarray, bias: np.ndarray, answers: Answers
) -> None:
    """Add to a graph of counts: sublinear weights, idf, length one, the linear layer and what makes answers of it, in
    float64."""
    import numpy as np

    helper, graph = onnx.helper, model.graph
    counts = graph.output[0].name
    values = {
        "one": np.ones(1),
        "tiny": np.full(1, 1e-12),
        "idf": idf.astype(np.float64)[None],
        "weight": np.ascontiguousarray(weight.T, dtype=np.float64),
        "bias": bias.astype(np.float64),
        "columns": np.array([1], dtype=np.int64),
    }
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in values.items())
    steps: list[Step] = [
        ("Cast", [counts], "counts64", {"to": onnx.TensorProto.DOUBLE}),
        ("Max", ["counts64", "one"], "at_least_one", {}),
        ("Log", ["at_least_one"], "log_counts", {}),
        ("Add", ["log_counts", "one"], "sublinear", {}),
        ("Sign", ["counts64"], "occurs", {}),
        ("Mul", ["sublinear", "occurs"], "occurring", {}),
        ("Mul", ["occurring", "idf"], "weighted", {}),
        ("ReduceL2", ["weighted", "columns"], "length", {"keepdims": 1}),
        ("Max", ["length", "tiny"], "some_length", {}),
        ("Div", ["weighted", "some_length"], "normed", {}),
        ("MatMul", ["normed", "weight"], "scores", {}),
        ("Add", ["scores", "bias"], "biased", {}),
        *ENDS[answers],
    ]
    graph.node.extend(helper.make_node(kind, given, [made], **how) for kind, given, made, how in steps)
    del graph.output[:]
    kind = onnx.TensorProto.DOUBLE
    graph.output.extend(helper.make_tensor_value_info(name, kind, [None, len(bias)]) for _, _, name, _ in ENDS[answers])
    for entry in model.opset_import:
        if entry.domain == "":
            entry.version = OPSET
