"""`python -m gavel` is `gavel`."""

from gavel.cli import main

main()
