"""How hard Hypothesis looks: a few examples, the same each time, with every run; many random ones on a hunt."""

from hypothesis import HealthCheck, settings

USUAL, HUNT = "usual", "hunt"
HUNTED_TIMES = 24
"""How many times as many examples a hunt tries."""


def register() -> None:
    """Register the profiles and load the usual one; `--hypothesis-profile hunt` loads the other.

    No example has a deadline: how long one takes depends on what else the machine does.
    """
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    settings.register_profile(
        USUAL, deadline=None, derandomize=True, database=None, print_blob=True, suppress_health_check=checks
    )
    settings.register_profile(HUNT, settings.get_profile(USUAL), derandomize=False)
    settings.load_profile(USUAL)


def examples(count: int) -> int:
    """How many examples a test tries under the profile of this run.

    Args:    count: how many it tries with the usual one.
    """
    return count * HUNTED_TIMES if settings.get_current_profile_name() == HUNT else count
