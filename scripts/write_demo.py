"""Run the demo study and put its table and verdict into the README, between the demo markers.

python scripts/write_demo.py [FOLDER]    # FOLDER: a demo that has been made already
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
COLUMNS = (
    "run",
    "test accuracy %",
    "validation accuracy %",
    "train accuracy %",
    "trainable parameters",
    "train s",
    "peak memory MiB",
    "ms/text",
)

FIGURES = ("scores", "cost-training_seconds")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "demo"
    if len(sys.argv) < 2:
        command = [sys.executable, "-m", "whichtune", "demo", "--figures", "--out", str(folder)]
        subprocess.run(command, check=True)
    table, _, rest = (folder / "table.md").read_text(encoding="utf-8").partition("\n\n")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    chosen = [lines[0].index(name) for name in COLUMNS]
    short = "\n".join("| " + " | ".join(line[i] for i in chosen) + " |" for line in lines)
    headline = next(line for line in rest.splitlines() if line.startswith("Use "))
    text = (
        "What `make demo` shows (`whichtune demo`: the embedded model, 2.7 million parameters, on 1,000\n"
        f"generated messages whose word order decides; the best possible is 98 %):\n\n{short}\n\n"
        f"> {headline} One seed: how much another seed would change the figures is unknown.\n\n"
        "† Measured while another run shared the two cores, as the demo has it.\n\n"
        "![Test accuracy of every row with its interval](docs/images/demo-scores.png)\n"
        "![Test accuracy against training time](docs/images/demo-cost-training_seconds.png)\n"
    )
    for name in FIGURES:
        shutil.copy(folder / "figures" / f"{name}.png", README.parent / "docs" / "images" / f"demo-{name}.png")
    readme = README.read_text(encoding="utf-8")
    new = re.sub(r"<!-- demo -->.*<!-- /demo -->", lambda _: f"<!-- demo -->\n{text}<!-- /demo -->", readme, flags=re.S)
    README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
