// What every view's own part uses: elements with text as text, keys that stay inside, questions
// to Python. It is put before a part's module by `workbench.widgets.assets.esm`.

const colours = [
  "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#888888",
];

const SVG = "http://www.w3.org/2000/svg";

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "text") element.textContent = String(value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && ["value", "checked", "disabled", "tabIndex"].includes(name)) {
      element[name] = value;
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child); // a string becomes a text node, never markup
  }
  return element;
}

/** An HTML element: h("p", {class: "wb-line", text: untrusted}, child, ...). */
function h(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** An SVG element. */
function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

const TYPED = ["text", "search", "number", "email", "url", "tel", "password"];

function types(target) {
  const name = target.tagName;
  if (name === "TEXTAREA" || target.isContentEditable) return true;
  return name === "INPUT" && TYPED.includes(target.type);
}

function acts(target, key) {
  const name = target.tagName;
  const press = key === "Enter" || key === " ";
  if (name === "BUTTON" || name === "SUMMARY" || name === "A") return press;
  if (name === "SELECT") return press || key.length === 1 || key.startsWith("Arrow");
  if (name !== "INPUT") return false;
  if (target.type === "checkbox" || target.type === "radio") return press || key.startsWith("Arrow");
  const steps = ["Home", "End", "PageUp", "PageDown"];
  return target.type === "range" && (key.startsWith("Arrow") || steps.includes(key));
}

/**
 * Keys of a view. None leaves `root`, mapped or not: a stray letter would turn or delete the
 * notebook's cell. Combinations with Ctrl, Cmd or Alt are the browser's and JupyterLab's, and pass.
 * options.repeat: keys that may be held down. Typing in a field is left alone; Escape leaves it.
 */
function guardKeys(root, keys, options = {}) {
  const shield = "data-lm-suppress-shortcuts";
  if (!root.hasAttribute("tabindex")) root.tabIndex = 0;
  root.setAttribute(shield, "true");
  const onDown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      root.removeAttribute(shield); // so that Ctrl+S still saves the notebook
      setTimeout(() => root.setAttribute(shield, "true"));
      return;
    }
    event.stopPropagation();
    if (event.isComposing) return;
    if (types(event.target)) {
      if (event.key === "Escape") root.focus();
      return;
    }
    const act = keys[event.key];
    if (!act || acts(event.target, event.key)) return;
    event.preventDefault();
    if (event.repeat && !(options.repeat || []).includes(event.key)) return;
    act(event);
  };
  const stay = (event) => {
    if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
  };
  root.addEventListener("keydown", onDown);
  root.addEventListener("keypress", stay);
  root.addEventListener("keyup", stay);
  return () => {
    root.removeEventListener("keydown", onDown);
    root.removeEventListener("keypress", stay);
    root.removeEventListener("keyup", stay);
  };
}

/** Call at most once per `ms`, the last call always. */
function throttle(fn, ms) {
  let timer = null;
  let last = 0;
  let kept = null;
  return (...given) => {
    kept = given;
    const wait = last + ms - performance.now();
    if (wait <= 0) {
      last = performance.now();
      fn(...kept);
    } else if (timer === null) {
      timer = setTimeout(() => {
        timer = null;
        last = performance.now();
        fn(...kept);
      }, wait);
    }
  };
}

/** Call once nothing more has come for `ms`. */
function debounce(fn, ms) {
  let timer = null;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => fn(...given), ms);
  };
}

const asked = new WeakMap();

/** Ask Python: ask(model, {kind, ...}) resolves with [answer, buffers], rejects with its error. */
function ask(model, message) {
  if (!asked.has(model)) {
    const waiting = new Map();
    asked.set(model, { waiting, next: 1 });
    model.on("msg:custom", (answer, buffers) => {
      const found = waiting.get(answer && answer.id);
      if (!found) return;
      waiting.delete(answer.id);
      if (answer.error === undefined) found.resolve([answer, buffers || []]);
      else found.reject(new Error(answer.error));
    });
  }
  const book = asked.get(model);
  const id = `${Math.random().toString(36).slice(2)}-${book.next++}`;
  return new Promise((resolve, reject) => {
    book.waiting.set(id, { resolve, reject });
    model.send({ ...message, id });
  });
}

const fmt = {
  count: (n) => (Number.isFinite(n) ? Math.round(n).toLocaleString("en-GB") : "–"),
  share: (x) => (Number.isFinite(x) ? `${(100 * x).toFixed(1)} %` : "–"),
  number: (x, digits = 3) => (Number.isFinite(x) ? x.toFixed(digits) : "–"),
};
