"""``python -m synthgen`` is the command ``synthgen``."""

from synthgen.cli import main

main()
