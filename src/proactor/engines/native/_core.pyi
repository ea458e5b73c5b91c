from typing import Literal, TypedDict

class Probed(TypedDict):
    profile: Literal["multishot", "basic", "none"]
    kernel: str
    features: dict[str, str]
    refused: dict[str, str]

def probe(release: str | None = None) -> Probed:
    """Find out what the io_uring of this kernel can do, by trying it; takes about a millisecond.

    `release` is the kernel's version to decide by, as `uname -r` says it; None for the one that
    runs. The interpreter is released meanwhile. Never raises for what the kernel refuses.
    """
