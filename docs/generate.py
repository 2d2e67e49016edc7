"""Writes docs/commands.md and docs/brief.md from the code. `tests/test_docs.py` fails when they have drifted.

python docs/generate.py
"""

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec

from lifeloop import plugins
from lifeloop.cli.main import COMMANDS, lifeloop
from lifeloop.core import brief, data_brief, gateway_brief, preferences_brief, rollout_brief
from lifeloop.core.evidence import OPERATIONAL

HERE = Path(__file__).parent
WIDE: dict[str, Any] = {"max_content_width": 100, "terminal_width": 100}
NOTE = "<!-- Written by docs/generate.py from the code; edit that instead. -->\n"


def main() -> None:
    """Write both files."""
    (HERE / "commands.md").write_text(commands(), encoding="utf-8")
    (HERE / "brief.md").write_text(brief_reference(), encoding="utf-8")


def commands() -> str:
    """Return the help of every command as Markdown."""
    root = click.Context(lifeloop, **(lifeloop.context_settings | {"info_name": "lifeloop", **WIDE}))
    parts = [NOTE, "# Commands\n", _fenced(lifeloop.get_help(root))]
    for name in COMMANDS:
        command = lifeloop.get_command(root, name)
        assert command is not None
        context = click.Context(command, parent=root, **({"info_name": name} | WIDE))
        parts += [f"## lifeloop {name}\n", _fenced(command.get_help(context))]
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            within = click.Context(inner, parent=context, **({"info_name": inner.name} | WIDE))
            parts += [f"### lifeloop {name} {inner.name}\n", _fenced(inner.get_help(within))]
    return "\n".join(parts)


def _fenced(text: str) -> str:
    return f"```\n{text}\n```\n"


def brief_reference() -> str:
    """Return every key of the brief as Markdown: its section, type, default and meaning."""
    parts = [NOTE, "# The brief: lifeloop.toml\n", "A key without a default must be written.\n"]
    for section in ("project", "data", "objectives", "budget", "explore", "auto", "gate", "release", "monitor"):
        kind = _section(section)
        title = f"[[{section}]]" if section == "objectives" else f"[{section}]"
        module = inspect.getmodule(kind)
        assert module is not None
        parts += [f"## {title}\n", f"{inspect.getdoc(kind)}\n", _keys(kind, module)]
    for field in msgspec.structs.fields(data_brief.Data):
        if inspect.isclass(field.type) and issubclass(field.type, msgspec.Struct) and field.name != "refine":
            parts += [f"## [data.{field.name}]\n", f"{inspect.getdoc(field.type)}\n", _keys(field.type, data_brief)]
    steps = msgspec.structs.fields(data_brief.Refine)
    parts += ["## [data.refine]\n", f"{inspect.getdoc(data_brief.Refine)}\n", _keys(data_brief.Refine, data_brief)]
    for step in (step for step in steps if step.name != "reviewed"):
        parts += [f"## [data.refine.{step.name}]\n", f"{inspect.getdoc(step.type)}\n", _keys(step.type, data_brief)]
    asked = preferences_brief.PreferencesBrief
    parts += ["## [preferences]\n", f"{inspect.getdoc(asked)}\n", _keys(asked, preferences_brief)]
    for name, kind in (("ai", preferences_brief.AiJudge), ("trust", preferences_brief.Trust)):
        parts += [f"## [preferences.{name}]\n", f"{inspect.getdoc(kind)}\n", _keys(kind, preferences_brief)]
    for name, kind in (("rollout", rollout_brief.Rollout), ("rollout.margins", rollout_brief.Margins)):
        parts += [f"## [release.{name}]\n", f"{inspect.getdoc(kind)}\n", _keys(kind, rollout_brief)]
    parts += ["## [gateway]\n", f"{inspect.getdoc(gateway_brief.Gateway)}\n"]
    for field in msgspec.structs.fields(gateway_brief.Gateway):
        about = inspect.getdoc(field.type)
        parts += [f"## [gateway.{field.name}]\n", f"{about}\n", _keys(field.type, gateway_brief)]
    parts += ["## [candidates.NAME]\n", "Each has a `kind`, or a `parent` and an `adapt`.\n"]
    for name in plugins.names("models"):
        found = plugins.get("models", name)
        tasks = ", ".join(found.tasks) or "every task"
        module = inspect.getmodule(found.settings)
        assert module is not None
        parts += [f'### kind = "{name}"\n', f"{_first_line(module)} For {tasks}.\n", _keys(found.settings, module)]
    for name in plugins.names("adaptations"):
        found = plugins.get("adaptations", name)
        module = inspect.getmodule(found.settings)
        assert module is not None
        parts += [f'### adapt = "{name}"\n', f"{_first_line(module)}\n", _keys(found.settings, module)]
    parts += ["## [metrics.NAME]\n", _DECLARED]
    for name in plugins.names("metrics"):
        found = plugins.get("metrics", name)
        tasks = ", ".join(found.tasks) or "every task"
        module = inspect.getmodule(found.settings)
        assert module is not None
        parts += [f'### kind = "{name}"\n', f"{_first_line(module)} For {tasks}.\n", _keys(found.settings, module)]
        parts += [f"Each of `{key}`: {doc}\n\n{table}" for key, doc, table in _tables_in(found.settings, module)]
    return "\n".join([*parts, "## Metrics\n", _metrics()])


_DECLARED = """Metrics of the use case's own. Objectives name them as they name those of the task. Files that they read
lie in the project's folder.
"""


def _tables_in(kind: type[msgspec.Struct], module: ModuleType) -> list[tuple[str, str, str]]:
    """Return of each key that holds tables: the key, what a table says, and its keys."""
    found = []
    for field in msgspec.structs.fields(kind):
        for part in getattr(field.type, "__args__", ()):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                found.append((field.name, inspect.getdoc(part) or "", _keys(part, module)))
    return found


def _section(name: str) -> type[msgspec.Struct]:
    if name == "objectives":
        return brief.Objective
    field = next(field for field in msgspec.structs.fields(brief.Brief) if field.name == name)
    kind: type[msgspec.Struct] = field.type
    return kind


def _first_line(module: ModuleType) -> str:
    return " ".join((inspect.getdoc(module) or "").split("\n\n", maxsplit=1)[0].split())


def _keys(kind: type[msgspec.Struct], module: ModuleType) -> str:
    docs, types = _field_docs(kind, module)
    for base in kind.__mro__[1 : kind.__mro__.index(msgspec.Struct)]:  # settings that several have in common
        theirs = inspect.getmodule(base)
        assert theirs is not None
        docs, types = (found | own for found, own in zip(_field_docs(base, theirs), (docs, types), strict=True))
    fields = msgspec.structs.fields(kind)
    if not fields:
        return "No keys.\n"
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in fields:
        default = "" if field.required else f"`{_shown(field)}`"
        cells = (f"`{field.name}`", f"`{types[field.name]}`", default, docs.get(field.name, ""))
        rows.append(f"| {' | '.join(cells)} |".replace("  ", " "))
    return "\n".join(rows) + "\n"


def _shown(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "see below"
    return msgspec.json.encode(value).decode() if value is not None else "none"


def _field_docs(kind: type[msgspec.Struct], module: ModuleType) -> tuple[dict[str, str], dict[str, str]]:
    """Return the docstring and the written type under each field, read from the source."""
    tree = ast.parse(inspect.getsource(module))
    body = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == kind.__name__).body
    docs, types = {}, {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            types[node.target.id] = ast.unparse(node.annotation).replace("|", "\\|")
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                docs[node.target.id] = " ".join(str(after.value.value).split())
    return docs, types


def _metrics() -> str:
    rows = ["| task | metric | better | meaning |", "|---|---|---|---|"]
    for name in plugins.names("tasks"):
        for metric in plugins.get("tasks", name).metrics.values():
            better = "more" if metric.direction == "max" else "less"
            rows.append(f"| {name} | `{metric.name}` | {better} | {metric.about} |")
    rows += [f"| every task | `{name}` | less | measured on the trial |" for name in OPERATIONAL]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
