"""``python -m spark_impex_runner`` is ``impex``."""

from spark_impex_runner.cli.main import main

if __name__ == "__main__":
    main()
