"""What is refused, by the sentence that says it: the key as the user wrote it, what is wrong, what would be right."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from command import inside
from whichtune.cli.asked import check_folder, parse_bytes
from whichtune.errors import SettingError, StoreError, StudyFileError, WhichtuneError
from whichtune.published.presets import load_preset, preset_names, row_in_full, rows_of
from whichtune.study.load import load_study, parse_assignment, parse_study
from whichtune.study.plain_yaml import DEEPEST, MOST_VALUES, PlainYamlError, read_plain
from whichtune.study.spec import Study
from whichtune.wording import listed

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
NOT_PLAIN = {
    "a: 1\nb: 2\na: 3": (3, "'a' is there already, in line 1"),
    "a:\n\tb: 1": (2, "indent with spaces, not with tabs"),
    "a: b: c": (1, "not allowed here"),
    "a: [": (1, "found '<stream end>'"),
    "a: 1\n---\nb: 2": (2, "a study is one document"),
    "a: \0": (1, "U+0000"),
    "a: 1\nb: \x07": (2, "U+0007"),
    "[[a]]: 5": (1, "a key is a list or a mapping"),
    "&a [*a]": (1, "within what it stands for"),
    "settings: &a {b: *a}": (1, "within what it stands for"),
    "<<: &a\n  <<: *a\n": (1, "within what it stands for"),
    "a: *b": (1, "undefined alias"),
    LAUGHS: (None, f"more than {MOST_VALUES:,} values"),
    "[" * 5000: (1, f"more than {DEEPEST} levels"),
    "- " * 5000: (1, f"more than {DEEPEST} levels"),
    "a: " + "1" * 5000: (1, "a number has 5,000 characters"),
    "a: 0x" + "f" * 5000: (1, "a number has 5,002 characters"),
    "a: 0b_": (1, "'0b_' is no whole number"),
    "a: !!float ''": (1, "'' is no number"),
    "a: !!set {x}": (1, "the tag !!set means nothing"),
    "a: !!python/object/apply:os.system [ls]": (1, "means nothing in a study"),
    "a: !!binary eA==": (1, "the tag !!binary means nothing"),
}


@pytest.mark.parametrize("text", NOT_PLAIN, ids=lambda text: text[:20])
def test_what_is_no_plain_yaml_is_told_with_its_line(text: str) -> None:
    line, problem = NOT_PLAIN[text]
    with pytest.raises(PlainYamlError) as told:
        read_plain(text)
    assert problem in told.value.problem
    assert line is None or told.value.line == line


def test_what_studies_use_of_yaml_is_read() -> None:
    text = "a: &a {b: 1, c: 5.0e-4}\nd: {<<: *a, c: 2}\ne: 2024-01-01\nf: =\ng: [*a, *a]\nh: ~\n"
    same = {"b": 1, "c": 5e-4}
    assert read_plain(text) == {
        "a": same,
        "d": {"b": 1, "c": 2},
        "e": "2024-01-01",
        "f": "=",
        "g": [same] * 2,
        "h": None,
    }
    deep = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert str(read_plain(deep)) == deep


FILES = {
    "latin-1": ("name: é\n".encode("latin-1"), "line 1: it is not UTF-8 there"),
    "utf-32": ("name: a\n".encode("utf-32"), "not UTF-8|cannot stand in YAML"),
    "a spreadsheet": (b"PK\x03\x04\xff\xfe", "not UTF-8|cannot stand in YAML"),
    "huge": (b"#" * (5 << 20), "larger than 4 MiB"),
    "empty": (b"", "no mapping of settings"),
    "a list": (b"- a\n", "no mapping of settings"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_study(case: str, tmp_path: Path) -> None:
    content, words = FILES[case]
    (tmp_path / "s.yaml").write_bytes(content)
    with pytest.raises(StudyFileError, match=words):
        load_study(tmp_path / "s.yaml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes("name: é\nmethods: [full]\n".encode(encoding))
    assert load_study(tmp_path / "s.yaml").name == "é"


PLACES = {
    "a\0b": "a character that no path can have",
    "x" * 300: "its name is too long",
    "~nobody-at-all/s.yaml": "a user that is not there",
    "/dev/zero": "a pipe, a socket or a device",
    "pipe": "a pipe, a socket or a device",
    ".": "is a folder",
    "nothing": "There is no study file",
    "s.yaml/more": "There is no study file",
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_refused_before_it_is_opened(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("s.yaml").touch()
    began = time.process_time()
    with pytest.raises(StudyFileError, match=PLACES[place]) as told:
        load_study(place)
    assert time.process_time() - began < 2
    assert "Errno" not in str(told.value)
    assert len(str(told.value)) < 400


VALUES: dict[str, tuple[dict[str, object], str]] = {
    "data": ({"data": 5}, "'data' is wrong .given: 5.: must be a mapping"),
    "a method": ({"methods": [5]}, "'methods.0' is wrong .given: 5.: must be a method's name, or a mapping"),
    "a nested method": ({"methods": [["full"]]}, "'methods.0' is wrong: must be a method's name"),
    "methods": ({"methods": 5}, "'methods' is wrong .given: 5.: must be a list"),
    "margin inf": ({"margin": float("inf")}, "'margin' is wrong .given: inf.: must be a finite number"),
    "margin nan": ({"margin": float("nan")}, "'margin' is wrong .given: nan.: must be a finite number"),
    "margin text": ({"margin": "1e400"}, "'margin' is wrong .given: '1e400'.: must be a finite number"),
    "margin true": ({"margin": True}, "'margin' is wrong .given: true.: must be a number, not true or false"),
    "jobs": ({"jobs": 10**9}, "'jobs' is wrong .given: 1000000000.: write a number less than or equal to 256"),
    "jobs true": ({"jobs": True}, "'jobs' is wrong .given: true.: must be a number, not"),
    "a huge seed": ({"seeds": [10**30]}, "'seeds' is wrong: must be at most 4294967295"),
    "a negative seed": ({"seeds": [0, -1]}, "'seeds' is wrong .given: -1.: a seed is 0 or more"),
    "a seed of true": ({"seeds": [True]}, "'seeds' is wrong: must be a number, not true or false"),
    "half a seed": ({"seeds": [1.5]}, "'seeds.0' is wrong .given: 1.5.: must be a whole number"),
    "no seeds": ({"seeds": []}, "'seeds' is wrong: must not be empty"),
    "a null byte": ({"name": "a\0"}, "'name' holds a character that no text can hold"),
    "a lone surrogate": ({"settings": {"a": ["\ud800"]}}, "'settings.a' holds a character"),
    "published nan": (
        {"published": {"rows": {"a": {"test": float("nan")}}}},
        "'published' is wrong: must be finite, not",
    ),
    "a key that is no text": ({"settings": {5: 6}}, "a name must be a text"),
    "a fraction": ({"data": {"test_fraction": float("nan")}}, "'data.test_fraction' is wrong .given: nan.: must be a"),
    "split seed": ({"data": {"split_seed": -1}}, "'data.split_seed' is wrong .given: -1.: must be greater than or eq"),
    "a scale": ({"tuning": {"spaces": {"full": {"epochs": {"scale": ["a"]}}}}}, "has no scale '..a..'"),
    "a range": ({"tuning": {"spaces": {"full": {"epochs": {"low": 1, "high": 1e308}}}}}, "low and high must be within"),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_mean_nothing_name_their_key(case: str) -> None:
    value, words = VALUES[case]
    with pytest.raises(SettingError, match=words) as told:
        parse_study(value, "s.yaml")
    assert str(told.value).startswith("s.yaml: ")
    assert "Input should" not in str(told.value)


def test_settings_say_all_that_they_may_be() -> None:
    with pytest.raises(SettingError, match=r"'token_position'.*'first', 'last', 'last_nonpad', 'mean' or"):
        _settings(token_position="middle")
    with pytest.raises(SettingError, match=r"'context_length'.*must be a whole number.*'longest' or 'model'"):
        _settings(context_length="nope")
    for value in (True, float("nan"), float("inf"), 10**30, [1], {}):
        with pytest.raises(SettingError, match="'epochs' is wrong"):
            _settings(epochs=value)
        with pytest.raises(SettingError, match="'lora_rank' is wrong"):
            _settings(lora_rank=value)


def _settings(**values: object) -> None:
    """Validated as those of a run: a method's own settings are its class's, which a plugin may bring."""
    from whichtune.expansion.expand import _validate
    from whichtune.methods.lora import LoraSettings
    from whichtune.study.spec import Settings

    own = {key: value for key, value in values.items() if key in LoraSettings.model_fields}
    _validate(LoraSettings, own, "Settings of 'lora'")  # type: ignore[arg-type]
    _validate(Settings, {k: v for k, v in values.items() if k not in own}, "Settings of 'lora'")  # type: ignore[arg-type]


def test_words_are_numbers_only_where_they_look_like_some() -> None:
    assert parse_assignment("learning_rate=5e-4") == ("learning_rate", 5e-4)
    assert parse_assignment("name=nan") == ("name", "nan")
    assert parse_assignment("name=infinity") == ("name", "infinity")
    with pytest.raises(SettingError, match="a number has 5,000 characters"):
        parse_assignment("epochs=" + "1" * 5000)


COMMANDS: dict[str, tuple[list[str], str]] = {
    "threads": (["compare", "--threads", "999999"], "--threads: write a number less than or equal to 1024"),
    "no number": (["compare", "--jobs", "many"], "--jobs: write a whole number"),
    "jobs": (["compare", "--jobs", "1000000000"], "--jobs: write a number less than or equal to 256"),
    "an option": (["compare", "--modle", "x"], "No such option: --modle.*--model.*see whichtune compare --help"),
    "a command": (["compre"], "No such command 'compre'"),
    "a size": (["compare", "--cache-limit", "9" * 400], "--cache-limit 999.* is no size"),
    "a large size": (["compare", "--cache-limit", "9" * 20 + "TB"], "more than any disk holds"),
    "seeds": (["compare", "--seeds", "1" * 5000], "--seeds 111.*: write whole numbers"),
    "seeds twice": (["compare", "--seeds", "1,2,1"], "--seeds names 1 twice"),
    "methods": (["compare", "--methods", "x" * 10000], "There is no method 'xxx.*known are: .* and [0-9]+ more"),
    "out is a file": (["compare", "--dry-run", "--out", "/dev/null"], "'/dev/null' is no folder: choose another"),
    "out is too long": (["compare", "--dry-run", "--out", "x" * 300], "its name is too long.: choose another"),
    "out of nobody": (["compare", "--dry-run", "--out", "~nobody-at-all/x"], "a user that is not there"),
    "a row": (["studies", "sms-spam", "--row", "99"], "--row 99: 'sms-spam' has the rows 1 to 19"),
    "a row of none": (["studies", "--row", "9"], "Name the study"),
    "rows": (["reproduce", "sms-spam", "--rows", "1,x"], "--rows 1,x: write whole numbers"),
    "a device": (
        ["experiment", "--device", "tpu"],
        "'device' is wrong .given: 'tpu'.: must be 'auto', 'cpu'",
    ),
    "a context": (["experiment", "--context_length", "1" * 5000], "--context_length 111"),
    "a method": (["methods", "x" * 10000], "There is no method 'xxx"),
    "a plugin": (["--plugin", "x" * 300 + ".py", "methods"], "its name is too long"),
    "a study": (["compare", "/dev/zero"], "a device"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands_answer_in_one_line(case: str, tmp_path: Path) -> None:
    words, message = COMMANDS[case]
    said = inside(*words, cwd=tmp_path, code=2)
    assert re.match(f"Error: .*{message}", said.stderr), said.stderr
    assert said.stderr.count("\n") == 1
    assert len(said.stderr) < 1000
    assert said.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_every_row_of_every_study_is_shown_in_full() -> None:
    for name in preset_names():
        study = load_preset(name)
        for number in rows_of(study):
            assert row_in_full(study, number)["method"]
        assert ": None" not in inside("studies", name).stdout


def test_folders_that_can_be_made_are_taken(tmp_path: Path) -> None:
    study = Study(name="mine")
    assert check_folder(study, tmp_path / "new" / "below") == tmp_path / "new" / "below"
    assert check_folder(study, None) == Path("whichtune-mine")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is no folder: choose another with --out"):
        check_folder(study, tmp_path / "file" / "below")
    with pytest.raises(SettingError, match=r"no folder can be called after it: mend it, or give --out"):
        check_folder(Study(name="é" * 130), None)


def test_sizes() -> None:
    assert parse_bytes("--x", "1.5 GB") == 1_500_000_000
    assert parse_bytes("--x", None) is None
    for text in ("٣", "-1", "", "1 parsec", "1" * 5000):
        with pytest.raises(WhichtuneError, match="--x"):
            parse_bytes("--x", text)


def test_at_most_ten_names_are_listed() -> None:
    assert listed(map(str, range(10))).count(",") == 9
    assert listed(map(str, range(12))).endswith("9 and 2 more")
