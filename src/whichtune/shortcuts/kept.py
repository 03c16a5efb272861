"""What a machine's cache of hidden states is called and whose passes it holds, told without torch.

Whoever hands out runs to several machines asks this, so as to send those that share a pass to where it is. It decides
where a run is made and nothing else: the cache itself answers for its entries, by their content.
"""

from __future__ import annotations

import json
import socket
import uuid
from pathlib import Path

from filelock import FileLock

from whichtune.data.named import user_cache

ENTRY = "entry.json"
NAME = "cache-name"


def default_root() -> Path:
    """`states` in the folder where caches go."""
    return user_cache() / "states"


def cache_name(folder: Path) -> str:
    """A name that the caches in this folder alone have, whichever machines see it; made up when it is first asked for.

    Where nothing can be written there it is the machine's name and the folder's.
    """
    file = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{NAME}.lock"):
            if not file.is_file():
                file.write_text(uuid.uuid4().hex, encoding="utf-8")
            return file.read_text(encoding="utf-8")
    except OSError:
        return f"{socket.gethostname()} {folder}"


def shared_passes(root: Path) -> list[str]:
    """The passes that entries under `root` were made by, by what their runs call them (`executors.order.pass_of`)."""
    found = set()
    for file in root.glob(f"*/{ENTRY}"):
        try:
            found.add(json.loads(file.read_text(encoding="utf-8")).get("shared", ""))
        except (OSError, ValueError, AttributeError):
            continue  # being removed, or not an entry
    return sorted(found - {""})
