"""Write the golden files of this version that are missing."""

from tests.storage.golden import FOLDER, grown, held
from tests.storage.made import Made


def main() -> None:
    """Write them."""
    state, arrays = held()
    index = Made(**arrays)
    index.state = state
    whole, commits = FOLDER / "format2.ipaq", FOLDER / "format2-commits.ipaq"
    if not whole.exists():
        index.sync(whole)
    if not commits.exists():
        index.sync(commits)
        index.state, index.arrays = grown()
        index.sync(commits)


if __name__ == "__main__":
    main()
