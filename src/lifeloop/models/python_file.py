"""Reads a project's Python file without running it, runs it, and finds the line of it where an error arose.

Takes paths, texts and exceptions, gives syntax trees, modules and places. Knows nothing of metrics or features.
"""

import ast
import difflib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from lifeloop.core.content import bytes_id, short
from lifeloop.core.errors import BriefError


def parsed(path: Path, source: str) -> ast.Module:
    """Return the syntax tree of a file. Raises BriefError that names the line."""
    try:
        return ast.parse(path.read_bytes(), source)
    except SyntaxError as error:
        raise BriefError(
            f"is not Python: {error.msg}", where=f"{source}:{error.lineno or 1}", fix="mend that line"
        ) from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: NUL bytes
        raise BriefError(f"cannot be read: {error}", where=source, fix="it must be a Python file") from None


def defined(tree: ast.Module, name: str, parameters: str, source: str, where: str) -> None:
    """Raise BriefError where the file binds no such name at its top level; a name it imports will do."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.alias():
                names.add(node.asname or node.name)
    if name not in names and "*" not in names:
        close = difflib.get_close_matches(name, sorted(names), n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"write def {name}({parameters})"
        raise BriefError(f"{source} has no function {name!r}", where=where, fix=fix)


def run(text: bytes, path: str, source: str) -> ModuleType:
    """Return the module that a file holds; the import path stays as it is, and no compiled file is left behind."""
    module = ModuleType(f"lifeloop_file_{short(bytes_id(text))}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look their own module up there
    exec(compile(text, source, "exec"), module.__dict__)
    return module


def in_a_line(error: BaseException) -> str:
    """Return an error as Python would say it, in a line."""
    return traceback.format_exception_only(error)[-1].strip()


def place_in(error: BaseException, source: str) -> str:
    """Return `FILE:LINE` of the last step that an error took in a file, of the last at all, or ""."""
    if isinstance(error, SyntaxError) and error.filename == source:
        return f"{source}:{error.lineno or 1}"
    steps = traceback.extract_tb(error.__traceback__)
    own = [step for step in steps if step.filename == source]
    if own:
        return f"{source}:{own[-1].lineno}"
    return f"{Path(steps[-1].filename).name}:{steps[-1].lineno}" if len(steps) > 1 else ""
