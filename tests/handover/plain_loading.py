"""Run as a program: load exported folders by the code of their own cards, where whichtune cannot be imported.

Reads {folder: texts} as JSON, writes {folder: {"logits": ..., "probabilities": ..., "names": ...}}.
"""

import json
import os
import re
import sys

sys.modules["whichtune"] = None  # an import of it raises

found = {}
for folder, texts in json.load(sys.stdin).items():
    os.chdir(folder)
    with open("README.md", encoding="utf-8") as card:
        code = re.search(r"```python\n(.*?)```", card.read(), re.DOTALL)[1]
    code = code.replace('["A text."]', repr(texts)).replace(
        '[["a text in lower case"]]', repr([[str(text).lower()] for text in texts])
    )
    fields = re.compile(r"texts = \[\[.*\]\]")
    code = "\n".join(f"texts = {texts!r}" if fields.fullmatch(line) else line for line in code.splitlines())
    names = {}
    exec(code, names)
    config = getattr(names.get("model"), "config", None)
    found[folder] = {
        **{name: names[name].tolist() for name in ("logits", "probabilities", "numbers", "given") if name in names},
        **{name: names[name] for name in ("tags", "tokens") if isinstance(names.get(name), list)},
        "names": list(getattr(config, "id2label", {}).values()),
    }
assert not [name for name in sys.modules if name.startswith("whichtune.")]
print(json.dumps(found))
