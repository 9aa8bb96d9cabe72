"""A model that says itself where its recordable part ends."""
from typing import Any

import torch


class TwoParts(torch.nn.Module):
    """A model whose result is ``finished(begun(...))``: only `begun` is recorded, `finished` runs in the application.

    Any model may end in operators that depend on values; then its own Python runs again for every frame, up to where
    the recording ended (see `replay`).  A model of this class saves that: `finished` is called with what `begun` gave.
    """

    def begun(self, *args: Any, **kwargs: Any) -> Any:
        """The part that is recorded: tensors in tuples, lists and dicts, and plain values that never change."""
        raise NotImplementedError("{} must define begun".format(type(self).__name__))

    def finished(self, result: Any) -> Any:
        """The model's result, from that of `begun`."""
        raise NotImplementedError("{} must define finished".format(type(self).__name__))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.finished(self.begun(*args, **kwargs))
