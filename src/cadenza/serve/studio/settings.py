"""What a studio is told when it starts: where its library lies, where it listens, and how much it takes."""

import os
import platform
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from cadenza.checkpoint import Options


def library_directory() -> Path:
    """Where music is kept that people made: $CADENZA_LIBRARY, else the platform's place for a user's data."""
    if own := os.environ.get("CADENZA_LIBRARY"):
        return Path(own).expanduser()
    home = Path.home()
    match platform.system():
        case "Darwin":
            return home / "Library" / "Application Support" / "cadenza"
        case "Windows":
            return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "cadenza" / "Library"
        case _:
            return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "cadenza"


class StudioSettings(Options):
    """One studio. Sizes in GB and MB are powers of ten."""

    subject = "studio"

    directory: Path = Field(default_factory=library_directory, description="the library: takes, uploads, database")
    database: str | None = Field(
        None, description="SQLAlchemy's address of the database; None: SQLite in the library's directory"
    )
    host: str = Field("127.0.0.1", description="address to listen at")
    port: int = Field(8764, ge=0, le=65535, description="of the page and the API; 0: any that is free")
    names: tuple[str, ...] = Field(
        (), description="what else the studio is called by those who ask, beside its address"
    )
    key_file: Path | None = Field(None, description="file with one API key a line, beside those of the database")
    model: str | None = Field(None, description="model that plays where none is asked for; None: the embedded one")
    device: str | None = Field(None, description="as for `cadenza.load`; None: a GPU if there is one")
    precision: str | None = Field(None, description="of the language model, as for `cadenza.load`; None: what suits")
    max_requests: int = Field(8, ge=1, le=256, description="takes that a model makes at once, each copy of it")
    cluster: str | None = Field(
        None,
        description='Ray cluster whose machines play: "local" (begun here), "auto" or its address; None: no cluster',
    )
    min_replicas: int = Field(1, ge=1, le=1000, description="copies of a model that play in the cluster, at least")
    max_replicas: int = Field(2, ge=1, le=1000, description="and at most, when many pieces are to be made at once")
    replica_cpus: float = Field(1.0, gt=0, le=1024, description="processor cores of one of them")
    replica_gpus: float = Field(0.0, ge=0, le=16, description="GPUs of one of them; a fraction shares one")
    grow_after_seconds: float = Field(
        5.0, ge=0, le=3600, description="how long more pieces must be under way before another copy is started, seconds"
    )
    shrink_after_seconds: float = Field(
        300.0, ge=0, le=86400, description="how long fewer must be under way before one is ended, seconds"
    )
    max_waiting: int = Field(1000, ge=1, description="takes that may wait; more are refused until some are made")
    max_duration_seconds: float = Field(600.0, gt=0, le=86400, description="longest take, seconds")
    quota_gb: float = Field(20.0, gt=0, allow_inf_nan=False, description="size of the library at which it is full, GB")
    keep_days: float | None = Field(
        None, gt=0, description="age at which takes without a star are deleted, days; None: never"
    )
    keep_uploads_days: float | None = Field(
        30.0, gt=0, description="age at which uploads are deleted that no waiting take listens to, days; None: never"
    )
    max_upload_mb: float = Field(50.0, gt=0, le=2000, description="largest uploaded file, MB")
    max_upload_seconds: float = Field(600.0, gt=0, le=86400, description="longest uploaded recording, seconds")
    mark: bool = Field(False, description="say in every take's metadata that a machine made it")

    @field_validator("max_replicas")
    @classmethod
    def _enough(cls, most: int, info: Any) -> int:
        least = info.data.get("min_replicas", 1)
        if most < least:
            raise ValueError(f"give at least min_replicas, which is {least}")
        return most
