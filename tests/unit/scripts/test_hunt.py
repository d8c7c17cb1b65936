"""A hunt tries seed after seed, and says which failed."""

import pytest

from scripts.local.hunt import hunt


def test_a_hunt_begins_with_the_seed_it_is_given_and_continues_with_random_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, tried = [0.0], []
    monkeypatch.setattr("scripts.local.hunt.time.monotonic", lambda: clock[0])

    def run(seed: int, left: float) -> bool | None:
        tried.append((seed, left))
        clock[0] += 25
        return {1: False, 3: None}.get(len(tried), True)

    assert hunt(60, 101, run) == [101]
    assert [left for _, left in tried] == [60, 35, 10]
    assert tried[0][0] == 101
    assert len({seed for seed, _ in tried}) == 3
    assert capsys.readouterr().out == "hunt: 1 seeds passed, 1 failed: 101\n"
