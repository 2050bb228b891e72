"""`python -m credmgr` is `credmgr`."""

from credmgr.cli import main

main()
