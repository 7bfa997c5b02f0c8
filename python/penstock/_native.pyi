from typing import Final

__all__ = ["__version__", "build_profile"]

build_profile: Final[str]
__version__: Final[str]
