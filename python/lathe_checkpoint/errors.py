"""What goes wrong while a checkpoint is read, and where."""
from __future__ import annotations

import dataclasses
import os
from typing import NoReturn


class CheckpointError(Exception):
    """A checkpoint is damaged, of a newer format, or cannot be what was asked for.

    The message holds all that the attributes do.

    Attributes:
        file: the file or directory that is at fault.
        tensor: the tensor in it, of a piece with its number ("...weight/0"); None: the file as a whole.
        expected: what should have been there; None where the message says it all.
    """

    def __init__(self, message: str, file: str, tensor: str | None = None, expected: str | None = None) -> None:
        place = file if tensor is None else f"{file}: {tensor}"
        super().__init__(f"{place}: {message}" + (f", expected {expected}" if expected else ""))
        self.file = file
        self.tensor = tensor
        self.expected = expected


class NoStockModelError(CheckpointError):
    """The checkpoint is sound, but no class of transformers computes what it stands for."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a reader is: begins its errors."""

    file: str | os.PathLike[str]
    tensor: str | None = None

    def fail(self, message: str, expected: str | None = None) -> NoReturn:
        """Raises CheckpointError."""
        raise CheckpointError(message, os.fspath(self.file), self.tensor, expected)

    def require(self, condition: bool, message: str, expected: str | None = None) -> None:
        """Raises CheckpointError unless the condition holds."""
        if not condition:
            self.fail(message, expected)

    def within(self, name: str) -> Place:
        """The place of something inside this one."""
        return Place(self.file, name if self.tensor is None else f"{self.tensor}/{name}")
