"""What the source may look like: sizes, docstrings, and the calls nobody may write."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "workbench").rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES = 400, 70
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
SEEDED = {"default_rng", "Generator", "SeedSequence", "PCG64", "get_state", "set_state"}
SEEDED_STDLIB = {"Random", "getstate", "setstate"}

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str:
    """`np.random.seed` of an attribute chain, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    doc = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    return lines - (0 if doc is None else (doc.end_lineno or doc.lineno) - doc.lineno + 1)


def undocumented(tree: ast.Module) -> list[str]:
    """Public functions, classes and methods that say nothing."""
    found = [] if ast.get_docstring(tree) else ["the module"]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

    def look(body: list[ast.stmt], inside: str) -> None:
        for node in body:
            if not isinstance(node, kinds) or node.name.startswith("_"):
                continue
            overload = any(dotted(one).endswith("overload") for one in node.decorator_list)
            if ast.get_docstring(node) is None and not overload:
                found.append(f"{inside}{node.name}, line {node.lineno}")
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{node.name}.")

    look(tree.body, "")
    return found


def forbidden(tree: ast.Module) -> list[str]:
    """Ways to run data as code, and randomness that belongs to nobody."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            roots = {(node.module or "") if isinstance(node, ast.ImportFrom) else "", *names}
            if {root.split(".")[0] for root in roots} & UNSAFE_MODULES:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
            continue
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        options = {one.arg: getattr(one.value, "value", ...) for one in node.keywords}
        module, _, last = called.rpartition(".")
        if (
            called in UNSAFE_CALLS
            or (called == "torch.load" and options.get("weights_only") is not True)
            or options.get("allow_pickle") is True
            or options.get("trust_remote_code") is True
            or (module in {"np.random", "numpy.random"} and last not in SEEDED)
            or (module == "random" and last not in SEEDED_STDLIB)
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}")
    return found


@pytest.mark.slow
@each_file
def test_sizes(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines < MOST_LINES, f"{lines} lines: two rooms"
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    long = [
        f"{node.name}: {without_docstring(node)} lines"
        for node in ast.walk(tree_of(path))
        if isinstance(node, functions) and without_docstring(node) > MOST_FUNCTION_LINES
    ]
    assert not long


@each_file
def test_public_things_are_documented(path):
    assert not undocumented(tree_of(path))


@pytest.mark.slow
@each_file
def test_nothing_runs_data_or_uses_global_randomness(path):
    assert not forbidden(tree_of(path))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import dump",
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.random.seed(0)",
        "np.random.rand(3)",
        "random.shuffle(rows)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_the_law_sees_what_it_forbids(line):
    assert forbidden(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "re.compile('a')",
        "torch.load(path, weights_only=True)",
        "np.random.default_rng(seed)",
        "rng.shuffle(rows)",
        "AutoModel.from_pretrained(name, trust_remote_code=trust)",
    ],
)
def test_the_law_lets_the_rest_pass(line):
    assert not forbidden(ast.parse(line))


def tracked() -> list[Path]:
    """Files git knows or would add; every file outside caches when there is no git."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.split("\0") if name]
    rooms = ("workbench", "tests", "docs", "notebooks", "benchmarks", ".ci")
    return [path for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()]


# Notebooks have pictures in them, whose letters can spell anything; tests/notebooks reads those.
READ = {".py", ".md", ".toml", ".yml", ".lock", ".cfg", ".json", ".txt", ".tsv", ".jsonl", ""}


@pytest.mark.slow
def test_no_tracked_file_holds_a_path_of_one_machine(machine_path):
    found = []
    for path in tracked():
        if path.suffix in READ and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            name = path.relative_to(ROOT)
            found += [f"{name}: {line}" for line in text.splitlines() if machine_path.search(line)]
    assert not found


def test_the_machine_path_law_sees_one(machine_path):
    assert machine_path.search("open('" + "/".join(["", "home", "ada", "data"]) + "')")
    assert not machine_path.search("https://example.org/home/page and data/work/x")
