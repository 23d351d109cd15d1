"""What the official SDK has besides ImpEx: one clear error where it is used."""

from __future__ import annotations

from typing import Any, ClassVar, Final, NoReturn

from spark_impex_runner.errors import SparkSdkError

# Public names of the SDK's module (seen in its source, 0.3.3).
NAMES: Final = frozenset(
    {
        *("ApiResource", "Uri", "UriParams", "Authorization", "OAuth", "JwtConfig", "HealthUrl"),
        "ENV_VARS",
        *("Pipeline", "AsyncPipeline", "BatchChunk", "ChunkData", "ServiceExecuted"),
        *("Transform", "TransformParams", "build_transform", "create_chunks", "ErrorMessage"),
        *("Folders", "Services", "Batches", "History", "Transforms", "Health", "Platform"),
        *("Wasm", "Files", "OAuth2", "AccessToken", "AsyncApiResource", "AsyncFolders"),
        *("AsyncServices", "AsyncBatches", "AsyncHistory", "AsyncTransforms", "AsyncHealth"),
        *("AsyncWasm", "AsyncFiles", "AsyncOAuth2", "AsyncPlatform"),
    }
)


class OutsideImpExError(SparkSdkError):
    """The official SDK has it, but it is not part of ImpEx."""

    kind = "not part of ImpEx"


def outside(name: str) -> NoReturn:
    """Raise ``OutsideImpExError`` for a name of the SDK."""
    raise OutsideImpExError(
        f"spark_impex_runner.sdk has the SDK's ImpEx only, not {name}; "
        "import cspark.sdk for this part of the program"
    )


class Partial:
    """A class of the SDK, some attributes of which are not part of ImpEx."""

    __slots__ = ()
    OUTSIDE: ClassVar[frozenset[str]]

    def __getattr__(self, name: str) -> NoReturn:
        if name in self.OUTSIDE:
            outside(f"{type(self).__name__}.{name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class _Placeholder(type):
    """A class whose use raises; as an annotation it does no harm."""

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        outside(cls.__name__)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):  # Python itself asks for such names
            raise AttributeError(name)
        outside(f"{cls.__name__}.{name}")


def placeholder(name: str) -> type:
    """Return a class of this name that can be named, but not be used."""
    return _Placeholder(name, (), {})
