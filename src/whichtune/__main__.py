"""`python -m whichtune`."""

from whichtune.cli import main

main()
