"""`python -m semiseg`."""

from semiseg.cli import main

if __name__ == "__main__":
    main()
