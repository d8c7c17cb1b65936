"""Creates `.venv` and installs a requirements file. Runs on any Python 3.11, before anything is installed.

Prints the path of the environment's Python; everything else goes to standard error.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


class NotInstalled(Exception):
    """The requirements could not be installed; the message gives the reason in one line."""


def main(requirements: str) -> int:
    if os.environ.get("GIFTPULSE_PYTHON"):
        print(os.environ["GIFTPULSE_PYTHON"])  # an environment managed elsewhere
        return 0
    try:
        if not PYTHON.exists():
            say("making .venv")
            make_venv()
        install(requirements)
    except subprocess.CalledProcessError as error:
        say(f"this failed: {' '.join(map(str, error.cmd))}")
        return 1
    except (NotInstalled, OSError) as error:
        say(str(error))
        return 1
    print(PYTHON)
    return 0


def make_venv() -> None:
    """Create the environment; use the outer pip if Python has none."""
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
    """Install the requirements unless exactly these were installed before."""
    stamp = VENV / f".installed-{requirements}"
    wanted = fingerprint(ROOT / requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"installing {requirements} (once; this takes a minute or two)")
    command = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--retries", "2"]
    done = subprocess.run([*command, "-r", requirements], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotInstalled(f"{requirements} could not be installed: {reason(done.stderr)}")
    stamp.write_text(wanted)


def reason(said: str) -> str:
    """Find the cause in pip's output."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    see = "see PIP_INDEX_URL, HTTPS_PROXY and the network"
    if any("NewConnectionError" in line or "connection broken" in line for line in lines):
        return f"the package index cannot be reached; {see}"
    if missing := re.search(r"requirement (\S+).*\(from versions: none\)", said):
        return f"the package index has no {missing[1]}, or cannot be reached; {see}"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip said nothing"])[-1]


def fingerprint(path: Path) -> str:
    """Hash a requirements file together with those that it includes."""
    text = path.read_text()
    included = [path.parent / line.removeprefix("-r ").strip() for line in text.splitlines() if line.startswith("-r ")]
    return hashlib.sha256("".join([text, *map(fingerprint, included)]).encode()).hexdigest()


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, cwd=ROOT)


def say(text: str) -> None:
    print(f"giftpulse: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
