"""Where the rivals live: a Python environment each and Flink's jars, in the cache, made on first use.

They are no dependency of the platform and cannot share its environment: PyFlink wants an older pyarrow.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from fraud_domain.settings import Settings
from medallion_services.embedded.jars import download, read_lock, verify
from medallion_services.embedded.java import find_java

PACKAGES = {"pathway": ("pathway==0.33.0",), "flink": ("apache-flink==2.3.0",)}
_LOCK = Path(__file__).with_name("jars.lock.json")


def python_of(settings: Settings, rival: str) -> Path:
    """The Python of a rival's environment, which is made when it is not there or has other packages."""
    home = settings.cache_dir / "rivals" / rival
    python, marker = home / "bin" / "python", home / "installed"
    wanted = "\n".join((*PACKAGES[rival], sys.version))
    if not marker.exists() or marker.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[rival]], check=True)
        marker.write_text(wanted, encoding="utf-8")
    return python


def flink_jars(settings: Settings) -> list[Path]:
    """Connectors that PyFlink does not ship, downloaded when they are not there; each is what was locked."""
    directory, jars = settings.cache_dir / "rivals" / "jars", read_lock(_LOCK)["flink"]
    directory.mkdir(parents=True, exist_ok=True)
    if absent := verify(jars, directory):
        download(absent, directory, settings, find_java(settings), lambda _: None)
        verify(absent, directory)
        shutil.rmtree(settings.cache_dir / "ivy", ignore_errors=True)
    return [directory / jar.file for jar in jars]
