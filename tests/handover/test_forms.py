"""An exported row gives its recorded predictions where whichtune is not: every method, three families, every form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from handover.conftest import FAMILIES, SETTINGS, Study, load_plainly, methods_of, recorded
from whichtune.compare import compare
from whichtune.errors import ExportError
from whichtune.handover.adapters import LOW_RANK
from whichtune.handover.export import FormName, export_row
from whichtune.handover.selftest import run_selftest
from whichtune.handover.told import read_told
from whichtune.methods import METHODS
from whichtune.methods.peft_method import PeftMethod
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study

# Rows that a form cannot have, by what the refusal must say.
NO_ADAPTER = "has no adapter"
POOLER = r"bert\.pooler\.dense"
NO_BIAS = "LlamaForSequenceClassification's has none"
VIRTUAL = "virtual tokens"
OF_ALL = {name: value for name, value in SETTINGS.items() if "." not in name}  # settings that are no one method's
NEIGHBOURS = "neighbours among the training texts"
OTHER_ADAPTER = "no plain low-rank update"


def refused(family: str, method: str, form: str) -> str | None:
    """What the refusal of a row in a form says; None for one that can be had."""
    prompted = method in ("soft_prompt", "prefix_tuning", "p_tuning")
    if form == "onnx":
        return None
    if method == "knn":
        return NEIGHBOURS
    if form == "peft":
        if prompted or method in LOW_RANK:
            return None
        return OTHER_ADAPTER if isinstance(METHODS[method], PeftMethod) else NO_ADAPTER
    return VIRTUAL if prompted else {"bert": POOLER, "llama": NO_BIAS}.get(family)


def exported(study_of: Study, family: str, cases: list[tuple[str, FormName]], out: Path) -> dict[Path, str]:
    """The folders that could be had, each with its row; those that cannot are refused with their reason."""
    found = {}
    for method, form in cases:
        place = out / f"{family}-{method}-{form}"
        reason = refused(family, method, form)
        if reason is None:
            done = export_row(study_of(family), method, place, form=form)
            assert done.form == form
            assert done.difference is not None
            assert done.difference <= 1e-5
            found[place] = method
        else:
            with pytest.raises(ExportError, match=reason):
                export_row(study_of(family), method, place, form=form)
            assert not place.exists()
    return found


def assert_recorded_predictions(studies: Study, folders: dict[str, dict[Path, str]]) -> None:
    """Of the exported folders of each family, all in one fresh process."""
    known = {place: recorded(studies(family), row) for family, rows in folders.items() for place, row in rows.items()}
    answers = load_plainly({place: texts for place, (texts, _) in known.items()})
    for place, (_, expected) in known.items():
        answer = answers[place]
        np.testing.assert_allclose(answer["logits"], expected, atol=1e-5, err_msg=place.name)
        np.testing.assert_allclose(answer["probabilities"], softmax(expected, axis=1), atol=1e-5)
        if place.name.endswith("transformers"):
            assert answer["names"] == ["not spam", "spam"]


QUICK: dict[str, list[tuple[str, FormName]]] = {
    "gpt2": [("lora", "transformers"), ("lora", "peft"), ("prefix_tuning", "onnx"), ("prefix_tuning", "transformers")],
    "bert": [("last_block", "onnx"), ("soft_prompt", "peft"), ("last_block", "transformers"), ("last_block", "peft")],
}


def test_some_rows_run_without_whichtune(few_of: Study, tmp_path: Path) -> None:
    folders = {family: exported(few_of, family, cases, tmp_path) for family, cases in QUICK.items()}
    assert_recorded_predictions(few_of, folders)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_runs_without_whichtune(study_of: Study, family: str, tmp_path: Path) -> None:
    forms: tuple[FormName, ...] = ("transformers", "peft", "onnx")
    cases = [(method, form) for method in methods_of(family) for form in forms]
    folders = exported(study_of, family, cases, tmp_path)
    assert_recorded_predictions(study_of, {family: folders})
    assert all(run_selftest(folder).equal for folder in folders)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "method", "form"),
    [
        ("gpt2", "full", "transformers"),
        ("gpt2", "prefix_tuning", "peft"),
        ("gpt2", "soft_prompt", "onnx"),
        ("llama", "full", "onnx"),
        ("llama", "lora", "onnx"),
        ("bert", "lora", "onnx"),
    ],
)
def test_auto_takes_the_first_form_that_is_exact(
    study_of: Study, family: str, method: str, form: str, tmp_path: Path
) -> None:
    done = export_row(study_of(family), method, tmp_path / "out")
    assert done.form == form
    earlier = ["transformers", "peft", "onnx"][: ["transformers", "peft", "onnx"].index(form)]
    assert all(f"not {name}, because" in done.why for name in earlier)


def test_an_adapter_merges_into_plain_weights(few_of: Study, tmp_path: Path) -> None:
    done = export_row(few_of("gpt2"), "lora", tmp_path / "merged", form="peft", merge=True)
    assert done.form == "transformers"
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert not (tmp_path / "merged" / "adapter_config.json").exists()


def test_words_of_tf_idf_run_in_onnx(few_of: Study, tmp_path: Path) -> None:
    folder = tmp_path / "words"
    assert export_row(few_of("gpt2"), "tfidf_word", folder).form == "onnx"
    texts, expected = recorded(few_of("gpt2"), "tfidf_word")
    odd = ["Größe ÄRGER naïve café 123 a_b don't x", "日本語 Привет МИР", "zzz"]
    (answer,) = load_plainly({folder: texts + odd}).values()
    np.testing.assert_allclose(answer["probabilities"][: len(texts)], softmax(expected, axis=1), atol=1e-6)
    from whichtune.handover.texts import logits_again
    from whichtune.records.verify import spec_of
    from whichtune.runs.predict import find_run, saved_in

    record = find_run(few_of("gpt2"), "tfidf_word")
    again = logits_again(spec_of(record), record, saved_in(few_of("gpt2"), record), odd)
    np.testing.assert_allclose(answer["logits"][len(texts) :], again, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_native_heads_run_as_their_family_s_class(
    models: dict[str, Path], mail: Path, family: str, tmp_path: Path
) -> None:
    """Where a linear head is refused (BERT's pooler, Llama's missing bias), a native one is not."""
    value = {
        "data": str(mail),
        "model": str(models[family]),
        "methods": ["full", "lora"],
        "baselines": [],
        "seeds": [0],
        "settings": {**OF_ALL, "head": "native"},
    }
    study = StudyFolder(compare(parse_study(value, family), tmp_path / "study", save="all", threads=1).folder)
    folders = {}
    for method, form in (("full", "transformers"), ("lora", "transformers"), ("lora", "peft"), ("full", "onnx")):
        place = tmp_path / f"{method}-{form}"
        export_row(study, method, place, form=form)
        folders[place] = method
    assert_recorded_predictions(lambda _: study, {family: folders})


ODD = [
    {"method": "last_block", "label": "first", "token_position": "first"},
    {"method": "last_block", "label": "padded mean", "token_position": "mean"},
    {"method": "last_block", "label": "alone", "padding": "none", "token_position": "last"},
    {"method": "lora", "label": "no mask", "causal_mask": False},
    {"method": "lora", "label": "attends", "attend_to_padding": True, "token_position": "mean_nonpad"},
    {"method": "lora", "label": "head too", "lora_head": True, "lora_targets": "attention", "lora_scaling": "alpha"},
    {"method": "lora", "label": "two of four", "lora_targets": ["q_proj", "c_fc"]},
    {"method": "lora", "label": "tail", "long_texts_keep": "tail"},
    {"method": "prefix_tuning", "label": "projected", "prefix_projection": True, "virtual_tokens": 4},
    {"method": "full", "label": "random", "weights": "random"},
]
FORM_NAMES: tuple[FormName, ...] = ("transformers", "peft", "onnx")
# The forms that each can have, by what it reads, sees and holds.
ONLY_GRAPH = ("first", "padded mean", "no mask", "attends")
NO_ADAPTERS = (*ONLY_GRAPH, "alone", "random")


@pytest.mark.slow
def test_odd_rows(models: dict[str, Path], mail: Path, tmp_path: Path) -> None:
    """Readings, masks, padding and targets apart from the usual ones: exact, or refused."""
    value = {"data": str(mail), "model": str(models["gpt2"]), "runs": ODD, "baselines": [], "seeds": [0]}
    chosen = parse_study({**value, "settings": OF_ALL}, "odd")
    study = StudyFolder(compare(chosen, tmp_path / "study", save="all", threads=1).folder)
    folders = {}
    for label in (str(run["label"]) for run in ODD):
        for form in FORM_NAMES:
            place = tmp_path / f"{label} {form}"
            refused = form == "transformers" and label in (*ONLY_GRAPH, "projected")
            if refused or (form == "peft" and label in NO_ADAPTERS):
                with pytest.raises(ExportError):
                    export_row(study, label, place, form=form)
            else:
                export_row(study, label, place, form=form)
                folders[place] = label
    # The study cut some of the texts of all rows alike but "tail"; each folder's tokenizer does it again.
    assert_recorded_predictions(lambda _: study, {"gpt2": folders})


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_rows_that_write(models: dict[str, Path], notes: Path, family: str, tmp_path: Path) -> None:
    """They write what was recorded, word for word, from a folder alone."""
    methods = ["full", "head_only", "lora", "soft_prompt", "prefix_tuning"]
    settings = {"epochs": 1, "context_length": 90, "learning_rate": 3e-3, "max_new_tokens": 8}
    value = {"task": "text_to_text", "data": str(notes), "model": str(models[family]), "methods": methods, "seeds": [0]}
    study = StudyFolder(
        compare(parse_study({**value, "settings": settings}, "t"), tmp_path / "s", save="all", threads=1).folder
    )
    forms = {"soft_prompt": "peft", "prefix_tuning": "peft"}
    for method in (*methods, "untuned"):
        done = export_row(study, method, tmp_path / method)
        assert done.form == forms.get(method, "transformers")
        told = read_told(tmp_path / method)
        assert told.answers_from == "record"
        assert all(told.predictions)
        assert run_selftest(tmp_path / method).equal
        with pytest.raises(ExportError, match="writes a text token by token"):
            export_row(study, method, tmp_path / "graph", form="onnx")
    assert export_row(study, "lora", tmp_path / "adapter", form="peft").form == "peft"
    assert run_selftest(tmp_path / "adapter").equal
