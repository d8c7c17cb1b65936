"""A disk that fills up while everything runs: said once a minute, until there is room."""

from pathlib import Path

import pytest

from scripts.local import files, launch


def test_a_disk_that_is_nearly_full_is_said_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = [launch.SPARE_MEBIBYTES]
    monkeypatch.setattr(files, "free_mebibytes", lambda _: free[0])
    room = launch._RoomWatch(tmp_path)
    room.check()
    assert capsys.readouterr().out == ""
    free[0] -= 1
    room.check()
    assert f"the disk of {tmp_path} has {free[0]} MiB free: make room" in capsys.readouterr().out
    room.check()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(launch, "REMIND_SECONDS", 0.0)
    room.check()
    assert "MiB free" in capsys.readouterr().out
