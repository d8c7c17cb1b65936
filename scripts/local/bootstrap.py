"""Makes `.venv` and installs what a file of requirements lists. Runs on any Python 3.11, before anything is there.

Prints the path of the environment's Python; everything else goes to standard error.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main(requirements: str) -> int:
    if os.environ.get("GIFTPULSE_PYTHON"):
        print(os.environ["GIFTPULSE_PYTHON"])  # an environment that somebody else looks after
        return 0
    try:
        if not PYTHON.exists():
            say("making .venv")
            make_venv()
        install(requirements)
    except subprocess.CalledProcessError as error:
        say(f"this failed: {' '.join(map(str, error.cmd))}")
        return 1
    print(PYTHON)
    return 0


def make_venv() -> None:
    """Make the environment; with the outer pip's help where Python came without its own."""
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        return
    run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)
    try:
        run(sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet", "pip")
    except subprocess.CalledProcessError:
        PYTHON.unlink()
        say("Python came without pip; on Debian and Ubuntu, `apt-get install python3-venv` brings it")
        raise


def install(requirements: str) -> None:
    """Install what is listed, unless just that was installed before."""
    stamp = VENV / f".installed-{requirements}"
    wanted = fingerprint(ROOT / requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"installing {requirements} (once; this takes a minute or two)")
    run(PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", ROOT / requirements)
    stamp.write_text(wanted)


def fingerprint(path: Path) -> str:
    """Hash a file of requirements together with those that it includes."""
    text = path.read_text()
    included = [path.parent / line.removeprefix("-r ").strip() for line in text.splitlines() if line.startswith("-r ")]
    return hashlib.sha256("".join([text, *map(fingerprint, included)]).encode()).hexdigest()


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, cwd=ROOT)


def say(text: str) -> None:
    print(f"giftpulse: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
