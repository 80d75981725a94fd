"""The command ``holdfast`` as a process, with a home folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "src"
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON documents on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        """The last JSON document on stdout."""
        return self.events[-1]

    @property
    def error(self) -> dict[str, Any]:
        """The error object: the last line on stderr."""
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        return found


@dataclass
class CommandLine:
    """Runs commands in *folder*; the repository and the password are known to it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        password.write_text(PASSWORD + "\n", encoding="utf-8")
        password.chmod(0o600)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "COLUMNS": "100",
            "HOLDFAST_REPOSITORY": str(self.repository),
            **self.environment,
        }

    @property
    def repository(self) -> Path:
        """Where the repository is."""
        return self.folder / "repository"

    @property
    def home(self) -> Path:
        """The home folder of whoever types."""
        return self.folder / "home"

    @property
    def password_file(self) -> Path:
        """A file with the right password."""
        return self.folder / "password"

    def command(self, *words: str | Path) -> list[str]:
        """Return the words of the process."""
        return [sys.executable, "-m", "holdfast", *(str(word) for word in words)]

    def __call__(
        self,
        *words: str | Path,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        password: bool = False,
    ) -> Answer:
        """Run ``holdfast`` with *words*, without a terminal; *password* gives the right one."""
        own = {"HOLDFAST_PASSWORD_FILE": str(self.password_file)} if password else {}
        done = subprocess.run(
            self.command(*words),
            check=False,
            input=b"" if stdin is None else stdin,
            capture_output=True,
            cwd=self.folder,
            env={**self.environment, **own, **(environment or {})},
            timeout=120,
        )
        return Answer(
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "surrogateescape"),
        )

    def done(self, *words: str | Path, password: bool = True) -> Answer:
        """Run a command that has to succeed."""
        answer = self(*words, password=password)
        assert answer.code == 0, answer.err
        return answer

    def init(self) -> Answer:
        """Make the repository."""
        return self.done("init")

    def source(self, **files: bytes) -> Path:
        """Make a folder with some files, or more of them; return it."""
        folder = self.folder / "source"
        folder.mkdir(exist_ok=True)
        for name, content in (files or {"hello.txt": b"hello\n"}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    def objects(self, kind: str) -> list[Path]:
        """Return the files of a kind of object in the repository, such as ``packs``."""
        return sorted(
            path for path in self.repository.glob(f"vaults/*/{kind}/**/*") if path.is_file()
        )
