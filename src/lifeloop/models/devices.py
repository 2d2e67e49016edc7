"""Where torch computes, and in which numbers: one answer for all that trains or serves with it.

Takes the words of the brief ("auto", "cpu", "cuda", "bfloat16", …), gives torch's own. Knows no model.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lifeloop.core.errors import ModelError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def device_named(name: str, where: str) -> "torch.device":
    """Return the device that a setting names; "auto" is the GPU where there is one. Raises ModelError."""
    import torch

    gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if gpu else "cpu")
    if name.startswith("cuda") and not gpu:
        raise ModelError("this machine has no GPU that torch can use", where=where, fix='write device = "auto"')
    try:
        return torch.device(name)
    except RuntimeError:
        raise ModelError(f"{name!r} is no device", where=where, fix='write "auto", "cpu" or "cuda"') from None


def dtype_named(name: str, device: "torch.device", where: str) -> "torch.dtype":
    """Return the number type that a setting names; "auto" is bfloat16 where the device multiplies it natively.

    Raises ModelError.
    """
    import torch

    if name == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bfloat16()
        return torch.bfloat16 if native else torch.float32
    if name not in DTYPES:
        raise ModelError(f"{name!r} is no number type", where=where, fix=f"write one of: auto, {', '.join(DTYPES)}")
    found: torch.dtype = getattr(torch, name)
    return found


@cache
def cpu_has_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 natively; elsewhere it would only be slower."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(word in flags.read_text() for word in ("avx512_bf16", "amx_bf16"))
