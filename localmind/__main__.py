"""`python -m localmind` is the `localmind` command, for places where the script is not on PATH."""

from localmind.cli import main

if __name__ == "__main__":
    main()
