"""``python -m ipaq_index`` is the command ``ipaq``."""

from ipaq_index.cli import main

if __name__ == "__main__":
    main()
