"""How much memory it takes to read a long CSV file, of which a few texts are used.

    python benchmarks/long_files.py [ROWS]

Writes a table of ROWS rows (by default a million) into a temporary folder, loads it with a limit of 1,000 texts a split
in a process of its own, and prints the largest memory of that process, once as long files are read and once whole.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

LOADING = """
import resource, sys, time
import pandas, pyarrow, sklearn.model_selection
from whichtune.data import long_files
from whichtune.data.splits import load_dataset
from whichtune.study.data_settings import DataSettings
long_files.LONG = int(sys.argv[2])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, began = peak(), time.perf_counter()
load_dataset(DataSettings(source=sys.argv[1], train_limit=1000, validation_limit=1000, test_limit=1000))
print(f"{peak():,.0f} MiB at most, {before:,.0f} of them the libraries; {time.perf_counter() - began:.0f} s")
"""


def write_table(path: Path, rows: int) -> None:
    """Texts of 14 drawn words, two classes, and two columns that nobody reads."""
    draw, words = random.Random(0), [f"word{place}" for place in range(2000)]
    with path.open("w", encoding="utf-8") as handle:
        handle.write("id,text,label,note\n")
        for row in range(rows):
            text, note = (" ".join(draw.choices(words, k=count)) for count in (14, 4))
            handle.write(f'{row},"{text}, no {row}",{"ab"[row % 2]},{note}\n')


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.csv"
        write_table(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size >> 20} MiB")
        for name, most in (("as long files are read", 32 << 20), ("whole", 1 << 40)):
            command = [sys.executable, "-c", LOADING, str(path), str(most)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            print(f"{name}: {said}")


if __name__ == "__main__":
    main()
