"""Study and run specs: identity, expansion, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from whichtune.compare import prepare
from whichtune.errors import SettingError, UnknownNameError
from whichtune.expansion.expand import with_baselines
from whichtune.study.load import load_study, parse_assignment, parse_study
from whichtune.study.spec import RunSpec, Study


def study_of(mail: Path, model: Path, **keys: object) -> Study:
    return parse_study({"data": str(mail), "model": str(model), "baselines": [], "seeds": [0], **keys}, "test")


def specs(study: Study) -> list[RunSpec]:
    return prepare(study)[0].specs


def one_id(study: Study) -> str:
    (spec,) = specs(study)
    return spec.run_id


def test_run_id_ignores_labels_and_places_but_not_contents(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    original = one_id(study_of(mail, tiny_gpt2, methods=["head_only"]))
    copied_data = shutil.copy(mail, tmp_path / "other.csv")
    copied_model = shutil.copytree(tiny_gpt2, tmp_path / "model")
    renamed = study_of(Path(copied_data), copied_model, methods=[{"method": "head_only", "label": "mine"}])
    assert one_id(renamed) == original
    with open(copied_data, "a", encoding="utf-8") as handle:
        handle.write("one more message,spam\n")
    assert one_id(renamed) != original


def test_run_id_changes_with_the_weights(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    study = study_of(mail, shutil.copytree(tiny_gpt2, tmp_path / "model"), methods=["head_only"])
    before = one_id(study)
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    name = next(iter(weights))
    weights[name] = weights[name] + 1e-3
    save_file(weights, file, metadata={"format": "pt"})
    assert one_id(study) != before


@pytest.mark.parametrize(
    "change", [{"epochs": 4}, {"token_position": "first"}, {"dropout": 0.1}, {"weights": "random"}]
)
def test_run_id_changes_with_every_setting(mail: Path, tiny_gpt2: Path, change: dict[str, object]) -> None:
    plain = one_id(study_of(mail, tiny_gpt2, methods=["head_only"]))
    assert one_id(study_of(mail, tiny_gpt2, methods=["head_only"], settings=change)) != plain


def test_run_id_is_stable_across_versions_of_the_code() -> None:
    """A changed hash would make every user's finished runs start again."""
    spec = RunSpec(
        label="x",
        data={"source": "a.csv"},
        model="m",
        method="full",
        token_position="last",
        padding="right",
        seed=1,
        fingerprints={"data": "d", "weights": "w", "tokenizer": "t"},
    )
    moved = spec.model_copy(update={"label": "y", "model": "n"})
    assert spec.run_id == moved.run_id
    text = json.dumps(spec.canonical(), sort_keys=True, separators=(",", ":"))
    assert '"source"' not in text
    assert '"fingerprints":{"data":"d","tokenizer":"t","weights":"w"}' in text


def test_defaults_are_filled_in(mail: Path, tiny_gpt2: Path, tiny_bert: Path) -> None:
    decoder = {s.method: s for s in specs(study_of(mail, tiny_gpt2, methods=["head_only", "full", "lora"]))}
    assert decoder["full"].token_position == "last_nonpad"
    assert decoder["full"].padding == "dynamic"
    assert (decoder["head_only"].learning_rate, decoder["full"].learning_rate) == (2e-2, 5e-5)
    assert decoder["lora"].method_settings["lora_rank"] == 16
    assert decoder["lora"].learning_rate_source == "card"
    (encoder,) = specs(study_of(mail, tiny_bert, methods=["full"], settings={"learning_rate": 1e-3}))
    assert encoder.token_position == "mean_nonpad"
    assert encoder.learning_rate_source == "set"


def test_padding_is_fixed_where_it_is_read(mail: Path, tiny_gpt2: Path) -> None:
    (spec,) = specs(study_of(mail, tiny_gpt2, methods=["full"], settings={"token_position": "last"}))
    assert spec.padding == "right"
    with pytest.raises(SettingError, match="depend on its batch"):
        specs(study_of(mail, tiny_gpt2, methods=["full"], settings={"token_position": "last", "padding": "dynamic"}))


def test_factors_cross_with_methods_that_have_them(mail: Path, tiny_gpt2: Path) -> None:
    study = study_of(
        mail,
        tiny_gpt2,
        methods=["head_only", "lora"],
        factors={"token_position": ["first", "mean"], "lora_rank": [2, 4]},
    )
    labels = [spec.label for spec in specs(study)]
    assert labels == [
        "head_only, token_position=first",
        "head_only, token_position=mean",
        "lora, token_position=first, lora_rank=2",
        "lora, token_position=first, lora_rank=4",
        "lora, token_position=mean, lora_rank=2",
        "lora, token_position=mean, lora_rank=4",
    ]


def test_settings_can_be_for_one_method(mail: Path, tiny_gpt2: Path) -> None:
    settings = {"learning_rate": 1e-3, "lora.learning_rate": 2e-3}
    rates = {
        s.method: s.learning_rate for s in specs(study_of(mail, tiny_gpt2, methods=["full", "lora"], settings=settings))
    }
    assert rates == {"full": 1e-3, "lora": 2e-3}


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({"methods": ["hed_only"]}, UnknownNameError, "did you mean 'head_only'"),
        ({"methods": ["full"], "settings": {"learnin_rate": 1}}, SettingError, "did you mean 'learning_rate'"),
        ({"methods": ["full"], "settings": {"lora_rank": 4}}, SettingError, "does not run"),
        ({"methods": ["full"], "settings": {"epochs": 0}}, SettingError, "'epochs'.*greater than or equal to 1"),
        ({"methods": ["full"], "settings": {"epochs": "many"}}, SettingError, "'epochs'"),
        ({"methods": ["full"], "settings": {"context_length": 4000}}, SettingError, "more than the 128 tokens"),
        ({"methods": ["full"], "settings": {"precision": "fp16"}}, SettingError, "needs CUDA"),
        ({"methods": ["full", "full"]}, SettingError, "used twice"),
        ({"methods": ["full"], "runs": [{"method": "full", "label": "again"}]}, SettingError, "same settings"),
        ({"methods": ["full"], "baseline": "lora"}, SettingError, "no line of it"),
        ({"methods": [{"method": "full", "lora_rank": 4}]}, SettingError, "no setting 'lora_rank'"),
        ({"methods": [], "task": "clasification"}, UnknownNameError, "no task.*did you mean 'classification'"),
        ({"methods": ["full"], "primary_metric": "acuracy"}, SettingError, "did you mean 'accuracy'"),
        ({"methods": ["full"], "primary_metric": "rouge1"}, SettingError, "classification has no rouge1"),
        (
            {"methods": ["full", "lora"], "pairs": [{"a": "full", "b": "lora", "metric": "f1macro"}]},
            SettingError,
            "The pair of 'full' and 'lora'.*did you mean 'f1_macro'",
        ),
        (
            {"methods": ["full"], "settings": {"early_stopping": "f1"}},
            SettingError,
            "early_stopping cannot watch f1 in classification",
        ),
        ({"methods": []}, SettingError, "nothing to run"),
        (
            {"methods": ["soft_prompt"], "settings": {"context_length": 109}},
            SettingError,
            "context_length 109 with 20 virtual tokens is more than the 128",
        ),
        ({"methods": [{"method": "soft_prompt", "prompt_text": "A"}]}, SettingError, "prompt_text is not used"),
        (
            {"methods": [{"method": "soft_prompt", "prompt_initialisation": "text"}]},
            SettingError,
            "needs prompt_text",
        ),
        (
            {"methods": [{"method": "prefix_tuning", "prefix_projection_size": 4}]},
            SettingError,
            "is for prefix_projection",
        ),
        (
            {"methods": ["prefix_tuning"], "settings": {"gradient_checkpointing": True}},
            SettingError,
            "turn it off for prefix_tuning",
        ),
    ],
)
def test_what_is_refused(mail: Path, tiny_gpt2: Path, keys: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        prepare(study_of(mail, tiny_gpt2, **keys))


def test_baselines_are_those_of_the_task(mail: Path, tiny_gpt2: Path) -> None:
    """Where none are named; the expanded study names them."""
    value = {"data": str(mail), "model": str(tiny_gpt2), "methods": ["full"], "seeds": [0]}
    expansion, _ = prepare(parse_study(value, "test"))
    assert expansion.study.baselines == ["majority", "tfidf_char", "tfidf_word"]
    assert [spec.label for spec in expansion.specs] == ["full", *expansion.study.baselines]
    written = parse_study({"task": "summarisation", "methods": ["full", "untuned"]}, "test")
    assert with_baselines(written).baselines == ["lead_1", "lead_3"]  # the model as it is stands among the methods


def test_encoder_has_no_causal_mask_to_remove(mail: Path, tiny_bert: Path) -> None:
    with pytest.raises(SettingError, match="is for decoders"):
        prepare(study_of(mail, tiny_bert, methods=["full"], settings={"causal_mask": False}))
    (spec,) = prepare(study_of(mail, tiny_bert, methods=["full"], baselines=[], seeds=[0]))[0].specs
    assert not spec.causal_mask  # and the report does not claim one


def test_an_encoder_has_no_prefix(mail: Path, tiny_bert: Path) -> None:
    with pytest.raises(SettingError, match=r"prefix_tuning is for decoders.*use soft_prompt"):
        prepare(study_of(mail, tiny_bert, methods=["prefix_tuning"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("methods: [head_only\nseeds: [0]", "line 2"),
        ("- a\n- b", "no mapping"),
        ("method: [full]", "did you mean 'methods'"),
        ("methods: [full]\nseeds: [1, 1]", "a seed is given twice"),
        ("methods: [full]\ndata: {sorce: a.csv}", "did you mean 'source'"),
    ],
)
def test_broken_study_files(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match=words) as caught:
        load_study(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=5e-4", 5e-4), ("a=3", 3), ("a=true", True), ("a=null", None), ("a=[1, 2]", [1, 2]), ("a=first", "first")],
)
def test_assignments(text: str, value: object) -> None:
    assert parse_assignment(text) == ("a", value)
