"""`whichtune push`: an exported folder to the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from whichtune.errors import ExportError
from whichtune.handover.told import FILE, SelfTest, read_told
from whichtune.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = re.compile(r"(?:[\w.-]+/)?[\w.-]+")


class Hub(Protocol):
    """What is used of huggingface_hub.HfApi."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> object: ...

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> object: ...


def push_folder(
    folder: Path | str,
    repo: str,
    *,
    private: bool = True,
    texts: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
    hub: Hub | None = None,
) -> str:
    """Upload an exported folder to the Hub as `repo` (NAME, or OWNER/NAME); gives its address.

    A folder whose self-test has texts of the study is sent only with `texts`. `hub` is an HfApi, by default one with
    the token that `hf auth login` has stored. Raises ExportError for a folder or a name that cannot be sent, and for
    what the Hub answers.
    """
    place = Path(folder).expanduser()
    told = read_told(place)
    if not REPO.fullmatch(repo):
        raise ExportError(f"'{repo}' is no name of a repository: write NAME or OWNER/NAME.")
    if told.texts_from == "study" and not texts:
        raise ExportError(
            f"{FILE} has {plural(len(told.texts), 'test text')} of the study: send them with --with-texts, or export "
            "the row again with --no-texts."
        )
    _refuse_own_folder(place, told)
    return _upload(place, told, repo, private, tell, hub)


def _refuse_own_folder(place: Path, told: SelfTest) -> None:
    """Raise ExportError for an adapter whose pretrained model nobody else has."""
    file = place / "adapter_config.json"
    if told.form != "peft":
        return
    try:
        base = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise ExportError(f"'{file}' cannot be read: export the row again.") from error
    if Path(str(base)).is_absolute():
        raise ExportError(
            "The adapter's pretrained model is a folder of this machine, which nobody else has: export the row with "
            "--merge or --format onnx, or train it on a model of the Hub."
        )


def _upload(place: Path, told: SelfTest, repo: str, private: bool, tell: Callable[[str], None], hub: Hub | None) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api: Hub = HfApi() if hub is None else hub
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    tell(f"Sending {size / 1e6:.1f} MB to {repo} ({'private' if private else 'public'}).")
    try:
        made = api.create_repo(repo, private=private, exist_ok=True)
        name = str(getattr(made, "repo_id", repo))
        api.upload_folder(repo_id=name, folder_path=str(place), commit_message=f"{told.row}, run {told.run_id}")
    except LocalTokenNotFoundError as error:
        raise ExportError("There is no token of the Hub here: run hf auth login first.") from error
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ExportError(f"'{repo}' could not be sent to the Hub: {reason.rstrip('.')}.") from error
    return f"https://huggingface.co/{name}"
