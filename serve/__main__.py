"""`python -m serve` is `emend`."""

from serve.cli import main

if __name__ == "__main__":
    main()
