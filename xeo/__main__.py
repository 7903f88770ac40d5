"""``python -m xeo`` is ``xeo``."""

from xeo.cli import main

if __name__ == "__main__":
    main(prog_name="xeo")
