"""Make the peers' own virtual environments: python bench/peers.py [--peers FOLDER]."""

import subprocess
import venv
from pathlib import Path

from harness import arguments

REQUIREMENTS = {
    "rejax": ("rejax==0.1.3", "gymnax==0.0.9"),
    "imitation": ("imitation==1.0.1", "seals==0.2.1", "setuptools<80", "torch==2.13.0"),  # brings Stable-Baselines3
    "sbx": ("sbx-rl==0.28.0", "torch==2.13.0", "mujoco==4.0.0", "imageio", "packaging"),
}


def python(peers: Path, name: str) -> Path:
    """The interpreter of a peer's environment."""
    found = peers / name / "bin" / "python"
    if not found.exists():
        raise SystemExit(f"{peers / name} has no environment of {name}: run python bench/peers.py --peers {peers}")
    return found


def make(peers: Path) -> None:
    """Every environment that does not exist yet."""
    for name, requirements in REQUIREMENTS.items():
        if not (peers / name / "bin" / "python").exists():
            venv.create(peers / name, with_pip=True)
            subprocess.run([peers / name / "bin" / "pip", "install", *requirements], check=True)


if __name__ == "__main__":
    make(arguments(__doc__ or "").parse_args().peers)
