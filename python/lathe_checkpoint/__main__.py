"""Lists a checkpoint's plan and tensors, or prints figures of one tensor.

usage: python -m lathe_checkpoint CHECKPOINT_DIRECTORY [TENSOR]
"""
from __future__ import annotations

import sys

import numpy as np

from . import Checkpoint, CheckpointError


def main() -> int:
    """Exit codes are Lathe's: 0 done, 64 bad arguments, 65 bad input, 66 no such tensor."""
    if len(sys.argv) not in (2, 3):
        print((__doc__ or "").strip(), file=sys.stderr)
        return 64
    try:
        checkpoint = Checkpoint(sys.argv[1])
        if len(sys.argv) == 3:
            tensor = checkpoint.tensor(sys.argv[2])
            with np.errstate(over="ignore"):
                first = tensor.flat[0].astype(np.float16).view(np.uint16) if tensor.size else 0
            mean = tensor.mean(dtype=np.float64) if tensor.size else 0.0
            print(tensor.shape, "mean", mean, "first bits", f"{first:04x}")
            return 0
        for unit in checkpoint.plan():
            print(f"{unit.name:24} {unit.bytes:>14,} bytes  {unit.setting}")
        for name in checkpoint.names():
            tensor_ = checkpoint.encoded(name)
            print(f"{name:48} {list(tensor_.shape)!s:18} {tensor_.encoding:12} {tensor_.stored_bytes:>14,} bytes")
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 65
    except KeyError as error:
        print(f"{sys.argv[1]}: no tensor {error}", file=sys.stderr)
        return 66
    return 0


if __name__ == "__main__":
    sys.exit(main())
