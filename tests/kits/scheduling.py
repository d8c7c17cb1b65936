"""Which tests one worker runs in one go: those of a file that share processes which are dear to start, or ports."""

from xdist.scheduler import LoadScopeScheduling

IN_ONE_GO = ("test_start.py", "test_main_story.py", "test_poolers.py", "acceptance/test_callbacks.py", "test_living.py")


class SharedProcesses(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Gives out test by test, and the files above whole.

    The mark `xdist_group` does nothing: pytest 9.2 keeps no node id that pytest-xdist 3.8 could extend by the group.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Say what a test is given out with: its file, or itself alone."""
    file = nodeid.partition("::")[0]
    return file if file.endswith(IN_ONE_GO) else nodeid
