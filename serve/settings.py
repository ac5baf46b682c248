"""Settings of the service, as one value: from options, the environment (EMEND_*) and a TOML file, in this order.

Refused here what would be unsafe to serve. Every field is a key of emend.toml and, in capitals after EMEND_, a
variable: `EMEND_DATABASE`, `EMEND_RATE_PER_MINUTE`; tables are written as JSON there.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from repair.errors import InputError
from serve.limits import MIB, is_loopback, state_directory

DEFAULT_MODEL = "default"  # the name of `model` on the wire


class Settings(BaseSettings):
    """What the service may do and spend. Sizes are bytes, times seconds where the name does not say otherwise."""

    model_config = SettingsConfigDict(env_prefix="EMEND_", extra="forbid", frozen=True, env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8451
    public_url: str = ""  # where a reverse proxy serves it, as https://emend.example.org

    model: str | None = None  # as `emend fix --model`: what is taken where a request names none
    adapter: Path | None = None
    models: Mapping[str, str] = {}  # further models by the name that requests give
    adapters: Mapping[str, Path] = {}  # adapters of the default model by name
    adapters_dir: Path | None = None  # each folder in it is an adapter, also one that is put there later

    workers: Annotated[int, Field(ge=1, le=256)] = 2  # repairs at a time, a process each
    waiting: Annotated[int, Field(ge=0)] = 64  # requests that wait for one before more are refused with 429
    job_workers: Annotated[int, Field(ge=0)] = 1  # of the workers, how many jobs may hold at a time
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 2.0  # how long the model waits for company
    batch_tokens: Annotated[int, Field(ge=1)] = 4096  # of all requests that it computes at a time

    python: Path | None = None  # interpreter of the tests that come with requests
    sandbox_minimum: Literal["A", "B", "C"] = "B"
    unsafe_no_sandbox: bool = False

    max_candidates: Annotated[int, Field(ge=1)] = 1000
    max_seconds: Annotated[float, Field(gt=0)] = 120.0
    max_job_seconds: Annotated[float, Field(gt=0)] = 3600.0
    max_body_bytes: Annotated[int, Field(ge=1)] = 8 * MIB
    max_answer_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    body_seconds: Annotated[float, Field(gt=0)] = 30.0
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0  # what a stop grants to the requests that run

    explanations: bool = True  # the route and the pages "Why?" and "Model"; their process starts once it is asked
    explanations_waiting: Annotated[int, Field(ge=0)] = 8  # that wait for it before more are refused with 429
    max_explanation_seconds: Annotated[float, Field(gt=0)] = 60.0

    database: str = ""  # SQLAlchemy URL; "" is SQLite in the state folder
    job_attempts: Annotated[int, Field(ge=1)] = 3
    job_days: Annotated[float, Field(gt=0)] = 7.0  # finished jobs are deleted after so many days
    lease_seconds: Annotated[float, Field(gt=0)] = 30.0
    journal: bool = False  # keep input and output of repairs, for review and training
    journal_days: Annotated[float, Field(gt=0)] = 30.0

    auth: Literal["keys", "off"] = "keys"
    rate_per_minute: Annotated[int, Field(ge=1)] = 600  # of a key that has no limit of its own
    concurrent_per_key: Annotated[int, Field(ge=1)] = 64
    cors_origins: tuple[str, ...] = ()
    metrics_token: str = ""  # lets a scraper read /metrics without a key

    log_format: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trace_endpoint: str = ""  # OTLP over HTTP, as http://collector:4318/v1/traces

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Given values and the environment; the file is merged in by `read_settings`, which knows its name."""
        return init_settings, env_settings

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.unsafe_no_sandbox and not is_loopback(self.host):
            raise ValueError(
                f"--unsafe-no-sandbox is refused on {self.host}: tests would run unisolated for others; use 127.0.0.1"
            )
        if self.auth == "off" and not is_loopback(self.host):
            raise ValueError(f"auth = off is refused on {self.host}: everyone could repair here; use keys or 127.0.0.1")
        if "*" in self.cors_origins and self.auth == "off":
            raise ValueError("cors_origins = * is refused without keys: every page you visit could use the service")
        return self

    @property
    def base_url(self) -> str:
        """Where clients reach the service."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def read_settings(config: Path | None = None, **given: object) -> Settings:
    """Settings from what was `given` (None: not given), the environment, and a TOML file (else ./emend.toml if there).

    Raises InputError naming the file or variable and the key at fault.
    """
    table = _table(config)
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        from_file = {k: v for k, v in table.items() if f"EMEND_{k.upper()}" not in os.environ}
        return Settings(**{**from_file, **chosen})  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise InputError(_sentence(error, config), field=_key(error)) from error


def _table(config: Path | None) -> dict[str, object]:
    path = config or Path("emend.toml")
    if config is None and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", field="config") from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}", field="config") from error


def _key(error: ValidationError) -> str:
    return ".".join(str(part) for part in error.errors()[0]["loc"])


def _sentence(error: ValidationError, config: Path | None) -> str:
    first = error.errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    key = _key(error)
    if first["type"] == "extra_forbidden":
        message = "no such setting; docs/service.md lists them"
    where = f"{config}: " if config else ""
    return f"{where}{key}: {message}" if key else f"{where}{message}"


def database_url(settings: Settings) -> str:
    """The URL of the store; SQLite in the state folder where none is set."""
    return settings.database or f"sqlite:///{state_directory() / 'emend.db'}"
