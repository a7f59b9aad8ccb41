"""Which numbers a device is fast with."""

import torch


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16: a CPU without emulates it, much slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
