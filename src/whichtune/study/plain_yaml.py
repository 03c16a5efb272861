"""YAML as studies are written in it: plain values, within bounds, every key once. Whatever else it holds is told."""

from __future__ import annotations

from collections.abc import Hashable

import yaml
from pydantic import JsonValue

from whichtune.wording import shown

DEEPEST = 40  # levels of mappings and lists within one another
MOST_VALUES = 100_000  # with aliases counted as often as they stand for something
LONGEST_NUMBER = 400  # characters
_TAG = "tag:yaml.org,2002:"
MERGE = f"{_TAG}merge"
KINDS = {"int": "whole number", "float": "number", "bool": "true or false", "null": "null", "str": "text"}
KINDS |= {"timestamp": "date", "seq": "list", "map": "mapping", "merge": "<<", "value": "="}


class PlainYamlError(Exception):
    """What is wrong, as words that end a sentence, and the line where, from 1; 0 where that is not known."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


def read_plain(text: str) -> JsonValue:
    """The one document of a text. Raises PlainYamlError for anything that is not plain YAML within the bounds."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        raise _odd_character(text, error) from error
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _expanded(node, {})
        value: JsonValue = loader.construct_document(node)
        return value
    except yaml.reader.ReaderError as error:
        raise _odd_character(text, error) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(shown(word, 200) for word in (error.problem or "it is no YAML").split())
        raise PlainYamlError(f"{problem}{_hint(problem)}", mark.line + 1 if mark else 0) from error
    finally:
        loader.dispose()


def _odd_character(text: str, error: yaml.reader.ReaderError) -> PlainYamlError:
    return PlainYamlError(f"the character U+{error.character:04X} cannot stand in YAML", _line_of(text, error))


def _line_of(text: str, error: yaml.reader.ReaderError) -> int:
    return text.count("\n", 0, error.position) + 1


def _hint(problem: str) -> str:
    """What the parser's words leave out."""
    if "'\\t'" in problem or "\\t" in problem:
        return " (indent with spaces, not with tabs)"
    if "another document" in problem:
        return " (a study is one document: remove the line ---)"
    return ""


class _Loader(yaml.SafeLoader):
    """The safe loader, with bounds while the text is composed, and dates left as they are written."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.level = self.values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.get_mark()
        self.level += 1
        self.values += 1
        if self.level > DEEPEST:
            raise _error(f"there are more than {DEEPEST} levels of lists and mappings", mark)
        if self.values > MOST_VALUES:
            raise _error(f"there are more than {MOST_VALUES:,} values", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.level -= 1
        if node is not None and node.tag.removeprefix(_TAG) not in KINDS:
            raise _error(f"the tag {shown(node.tag.replace(_TAG, '!!'))} means nothing in a study", node.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> JsonValue:
        if not isinstance(node, yaml.ScalarNode):
            found: JsonValue = super().construct_object(node, deep)
            return found
        kind = node.tag.removeprefix(_TAG)
        if kind in ("int", "float") and len(node.value) > LONGEST_NUMBER:
            raise _error(f"a number has {len(node.value):,} characters", node.start_mark)
        try:
            value: JsonValue = super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError) as error:
            raise _error(f"'{shown(node.value)}' is no {KINDS[kind]}", node.start_mark) from error
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, JsonValue]:
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        found: dict[Hashable, JsonValue] = super().construct_mapping(node, deep)
        return found


def _as_written(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(node.value)


for _kind in ("timestamp", "value"):
    _Loader.add_constructor(f"{_TAG}{_kind}", _as_written)


def _check_keys(node: yaml.MappingNode) -> None:
    """Raise for a key that is no word, and for one that stands twice, of which a reader would see only one."""
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _error("a key is a list or a mapping, and can only be a word", key.start_mark)
        if key.tag == MERGE:
            continue
        if key.value in seen:
            first = f"'{shown(key.value)}' is there already, in line {seen[key.value]}"
            raise _error(f"{first}: keep one of the two", key.start_mark)
        seen[key.value] = key.start_mark.line + 1


def _expanded(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """How many values a node stands for, aliases written out. Raises for too many, and for one within itself."""
    if id(node) in sizes:
        known = sizes[id(node)]
        if known is None:
            raise _error("an alias stands within what it stands for", node.start_mark)
        return known
    sizes[id(node)] = None
    size = 1
    for part in node.value if not isinstance(node, yaml.ScalarNode) else ():
        for each in part if isinstance(part, tuple) else (part,):
            size += _expanded(each, sizes)
    if size > MOST_VALUES:
        raise _error(f"its aliases stand for more than {MOST_VALUES:,} values", node.start_mark)
    sizes[id(node)] = size
    return size


def _error(problem: str, mark: yaml.Mark) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)
