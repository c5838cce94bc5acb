"""Break the arithmetic of the open strategy as a bad build would: on PYTHONPATH it is imported at the start."""

import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULE = "services.strategy.open"


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        found: Any = module
        # Every range is complete now, however thin the name.
        found.complete_rows = lambda opening, _minutes, _percent: found.np.arange(opening.minutes_seen.size)


class _Breaker(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        spec = super().find_spec(fullname, path, target) if fullname == MODULE else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


sys.meta_path.insert(0, _Breaker)
