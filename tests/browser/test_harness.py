"""The kit in a real JupyterLab, and that the harness leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import lab_browser
import psutil
import pytest

pytestmark = pytest.mark.browser

NASTY = (
    "<script>window.harm = 1</script><img src=x onerror='window.harm = 2'>"
    " **not bold** [no](javascript:alert(1)) $x$"
    " \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627"
    " \U0001f9ea\ufe0f caf\u00e9 </p> &amp; \\n"
)
DEMO = '''
import traitlets
from workbench.errors import BadArgument
from workbench.widgets.assets import Core, esm
from workbench.widgets.twin import Twin, page, words
from workbench.widgets.view import View

class Demo(Core):
    _esm = esm() + """
function render({ model, el }) {
  const text = h("p", {class: "wb-text", text: model.get("text")});
  const said = h("output", {class: "wb-said", "aria-label": "answer"});
  const field = h("input", {class: "wb-input", type: "text", "aria-label": "field"});
  const box = h("div", {class: "wb-part wb-demo", role: "group", "aria-label": "demo"});
  box.append(text, field, said);
  el.append(box);
  const tell = (word) => ask(model, {kind: "double", word}).then(
    ([answer]) => { said.textContent = answer.twice; },
    (error) => { said.textContent = "refused: " + error.message; });
  return guardKeys(box, {f: () => tell("ab"), e: () => tell("")});
}
export default { render };
"""
    text = traitlets.Unicode().tag(sync=True)
    asked = traitlets.Int()

    def double(self, message):
        self.asked += 1
        if not message["word"]:
            raise BadArgument("word", "", "it must not be empty", "Say something.")
        return {"twice": 2 * message["word"]}

def demo(text):
    core = Demo(text=text)
    core.answer("double", core.double)
    html = page("demo", words(text))
    twin = Twin(html=html, digest={"n": len(text)})
    view = View([core], says=lambda: "Demo()", twin=lambda: twin)
    view.core = core
    return view
'''
TEXT = f"text = {NASTY!r}"
SHOW = "view = demo(text)\nview"
BAD = "import ipywidgets\nipywidgets.HTML('<div class=wb-bad><img src=data:,><input></div>')"
DRAWN = "() => document.querySelectorAll('.wb-demo').length === {}"
CELLS = """() => { const book = jupyterapp.shell.currentWidget.content;
  return {kinds: [...book.model.cells].map(c => c.type), active: book.activeCellIndex,
          mode: book.mode}; }"""
# a b x c v z: cells come and go; d d: deletes; m r y 1: change the kind; 0 0: restarts the kernel
STRAY = (
    "a b x c v z d d m r y 1 i i 0 0 o q l s Enter Escape ArrowUp ArrowDown Space Delete".split()
)


def test_text_is_text_and_python_answers(notebook):
    notebook.open([DEMO, TEXT, SHOW, BAD]).run()
    notebook.until(DRAWN.format(1))
    page = notebook.page
    assert page.locator(".wb-demo .wb-text").evaluate("e => e.textContent") == NASTY
    assert page.locator(".wb-demo .wb-text *").count() == 0
    page.locator(".wb-demo").focus()
    page.keyboard.press("f")
    notebook.until("() => document.querySelector('.wb-said').textContent === 'abab'")
    page.keyboard.press("e")
    notebook.until("() => document.querySelector('.wb-said').textContent.startsWith('refused')")
    assert "must not be empty" in page.locator(".wb-said").inner_text()
    assert notebook.py("view.core.asked") == 2
    assert page.evaluate("() => window.harm") is None
    assert not page.locator(".wb-twin").is_visible()

    colours = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
    light = page.locator(".wb-demo").evaluate(colours)
    assert not notebook.axe()
    notebook.theme("dark")
    dark = page.locator(".wb-demo").evaluate(colours)
    assert not set(light) & set(dark)
    assert not notebook.axe()
    notebook.shot("dark")
    found = "\n".join(notebook.axe(".wb-bad"))  # and it would have found something
    assert "image-alt" in found
    assert "label" in found


def test_stray_keys_stay_inside(notebook):
    notebook.open([DEMO, "text = 'plain'", SHOW]).run()
    notebook.until(DRAWN.format(1))
    page, box = notebook.page, notebook.page.locator(".wb-demo")
    box.click(position={"x": 3, "y": 3})
    box.focus()
    before = page.evaluate(CELLS)
    focused = "() => document.activeElement.matches('.wb-demo')"
    for key in STRAY:
        page.keyboard.press(key)
        assert page.evaluate(focused), f"{key} took the focus away"
    page.keyboard.press("Shift+M")
    assert page.evaluate(focused)
    assert page.evaluate(CELLS) == before
    field = page.locator(".wb-demo input")
    field.focus()
    page.keyboard.type("add more mx00")
    assert field.input_value() == "add more mx00"
    assert page.evaluate(CELLS) == before
    assert notebook.py("view.core.asked") == 0  # and none of it was a key of ours

    page.keyboard.press("Control+s")  # not a stray key: the notebook is saved
    saved = "() => jupyterapp.shell.currentWidget.context.model.dirty === false"
    notebook.until(saved)

    # The same keys without the guard do harm, so the test above would see it.
    page.evaluate(
        "() => { const box = document.querySelector('.wb-demo');"
        " const bare = box.cloneNode(true); box.replaceWith(bare);"
        " bare.removeAttribute('data-lm-suppress-shortcuts'); bare.focus(); }"
    )
    page.keyboard.press("m")
    notebook.until(f"() => ({CELLS})().kinds[2] === 'markdown'")


def test_two_views_and_the_page_opened_next_day(notebook):
    notebook.open([DEMO, TEXT, SHOW, SHOW, "demo('another')"]).run()
    notebook.until(DRAWN.format(3))
    page = notebook.page
    page.locator(".wb-demo").nth(1).focus()
    page.keyboard.press("f")
    answers = "() => [...document.querySelectorAll('.wb-said')].map(e => e.textContent).join()"
    notebook.until(f"() => ({answers})() === ',abab,'")
    assert not any(one.is_visible() for one in page.locator(".wb-twin").all())

    notebook.save().shut()
    outputs = json.loads(notebook.path.read_text(encoding="utf-8"))["cells"][2]["outputs"]
    assert outputs[1]["data"]["application/x-workbench+json"] == {"n": len(NASTY)}
    notebook.tolerate("widget model not found|Error displaying widget")
    notebook.reopen()
    notebook.until("() => document.querySelectorAll('.wb-twin').length === 3")
    twins = notebook.page.locator(".wb-twin")
    assert all(one.is_visible() for one in twins.all())
    assert twins.first.locator("p").evaluate("e => e.textContent") == NASTY
    assert notebook.page.evaluate("() => window.harm") is None


def test_a_run_without_a_browser_keeps_the_twin(chrome, tmp_path):
    report = (
        "from workbench.report import report\n"
        "report(metric='m', zero_shot=0.1, trained=0.2, headroom_recovered=None, seconds=1.0,"
        " difference={'mean': 0.1, 'low': 0.0, 'high': 0.2}, seed=seed, parameters={},"
        " fingerprints={})"
    )
    tags = {"tags": ["parameters"]}
    cells = [
        {"cell_type": "code", "id": f"c{place}", "metadata": tags if not place else {},
         "source": source, "outputs": [], "execution_count": None}
        for place, source in enumerate(["seed: int = 0  # any", DEMO, TEXT, SHOW, report])
    ]  # fmt: skip
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    path = tmp_path / "05_demo.ipynb"
    path.write_text(json.dumps(book), encoding="utf-8")
    run = (
        "import sys; from workbench.sweep import run_notebook;"
        " run = run_notebook(sys.argv[1], runs=sys.argv[2]); print(run.notebook); print(run.page)"
    )
    command = [sys.executable, "-c", run, str(path), str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    executed, page = map(Path, done.stdout.split()[-2:])
    outputs = json.loads(executed.read_text(encoding="utf-8"))["cells"][3]["outputs"]
    assert outputs[0]["data"]["application/x-workbench+json"] == {"n": len(NASTY)}
    assert executed.stat().st_size < 50_000  # no widget state, no JavaScript
    shown = chrome.new_page()
    shown.set_content(page.read_text(encoding="utf-8"))
    assert shown.locator(".wb-twin").is_visible()
    assert shown.locator(".wb-twin p").evaluate("e => e.textContent") == NASTY
    assert shown.evaluate("() => window.harm") is None
    shown.close()


OWNER = """
import os, psutil, signal, sys, urllib.request
sys.path.insert(0, sys.argv[1])
from lab_browser import browser, lab_server
with lab_server() as lab, browser() as context:
    context.new_page().goto("about:blank")
    asked = urllib.request.Request(
        lab.url + "api/kernels", b"{}", {"Authorization": f"token {lab.token}"}, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked).read()
    below = psutil.Process().children(recursive=True)
    print(*(process.pid for process in below), flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def running(pids: list[int]) -> list[str]:
    names = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                names.append(process.name())
        except psutil.NoSuchProcess:
            continue
    return names


@pytest.mark.parametrize("end", ["done", "killed"])
def test_nothing_is_left_behind(end, chrome):
    here = str(Path(__file__).parent)
    short = tempfile.mkdtemp(prefix="wb-")  # a socket's path may have a hundred letters
    environment = {**os.environ, "TMPDIR": short}
    command = [sys.executable, "-c", OWNER, here, end]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) > 4, done.stderr[-3000:]  # server, kernel, driver, browser and its helpers
    deadline = time.monotonic() + 30
    while running(pids) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not running(pids)
    shutil.rmtree(short, ignore_errors=True)


def test_a_browser_is_found_or_installed(monkeypatch, tmp_path):
    program, said = tmp_path / "chromium", []
    nothing = SimpleNamespace(chromium=SimpleNamespace(executable_path=str(tmp_path / "none")))
    monkeypatch.setattr(lab_browser, "NAMES", ())
    monkeypatch.setattr(lab_browser, "_run", lambda *words: said.append(words))
    monkeypatch.delenv("WORKBENCH_CHROMIUM", raising=False)
    with pytest.raises(lab_browser.NoBrowser, match="name it in WORKBENCH_CHROMIUM"):
        lab_browser.chromium(nothing)
    assert said[-1][1:] == ("-m", "playwright", "install", "chromium")
    program.touch()
    said.clear()
    monkeypatch.setenv("WORKBENCH_CHROMIUM", str(program))
    assert lab_browser.chromium(nothing) == str(program)
    assert not said
