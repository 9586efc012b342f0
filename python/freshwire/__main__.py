"""`python -m freshwire`: the command line, where the script is not on the path."""

from freshwire.cli import main

main()
