"""`python -m pgkd`: the command line, where a script called pgkd is not on the path."""

from pgkd.apps.cli import main

if __name__ == "__main__":
    main()
