// The run monitor: small charts side by side, redrawn in place, and three buttons.

const WIDE = 420;
const HIGH = 150;
const EDGE = { left: 46, right: 8, top: 6, bottom: 20 };
const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const DASHES = ["none", "6 3", "2 2", "7 2 2 2"];
const MARKS = {
  waiting: "○ waiting", running: "▶ running", paused: "❚❚ paused", stopped: "■ stopped",
  interrupted: "■ interrupted", failed: "✕ failed", done: "✓ done",
};

function numbers(view) {
  if (!view) return new Float32Array(0);
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  return new Float32Array(bytes);
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n += 1) found.push(n * step);
  return found;
}

function short(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  return size >= 1000 ? fmt.count(value) : String(Number(value.toPrecision(3)));
}

function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function bounds(key, curves) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y } of curves) {
    for (let n = 0; n < x.length; n += 1) {
      if (!Number.isFinite(y[n])) continue;
      left = Math.min(left, x[n]);
      right = Math.max(right, x[n]);
      low = Math.min(low, y[n]);
      high = Math.max(high, y[n]);
    }
  }
  if (key === "kept") [low, high] = [0, 1];
  if (key === "rate" || key === "pairs") low = 0;
  if (!(high > low)) [low, high] = [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  if (!(right > left)) right = left + 1;
  return { left, right, low, high };
}

/** One chart; draw(panel) moves its paths, read(x) gives its values at a place. */
function chart(key, onCursor) {
  const title = h("strong");
  const keys = h("span", { class: "wb-row" });
  const lines = svg("g");
  const grid = svg("g");
  const cursor = svg("line", { class: "wb-mon-cursor", y1: EDGE.top, y2: HIGH - EDGE.bottom });
  const plot = svg(
    "svg", { class: "wb-mon-plot", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img" }, grid, lines, cursor,
  );
  const root = h("figure", { class: `wb-mon-chart wb-mon-${key}` }, h("figcaption", {}, title, keys), plot);
  let curves = [];
  let box = { left: 0, right: 1, low: 0, high: 1 };
  const px = (x) => EDGE.left + ((x - box.left) / (box.right - box.left)) * (WIDE - EDGE.left - EDGE.right);
  const py = (y) => HIGH - EDGE.bottom - ((y - box.low) / (box.high - box.low)) * (HIGH - EDGE.top - EDGE.bottom);

  function path({ x, y }) {
    let text = "";
    let pen = "M";
    for (let n = 0; n < x.length; n += 1) {
      if (!Number.isFinite(y[n])) pen = "M";
      else {
        text += `${pen}${px(x[n]).toFixed(1)} ${py(y[n]).toFixed(1)}`;
        pen = "L";
      }
    }
    return text;
  }

  function shape(one, number) {
    const colour = one.kind === "raw" ? "var(--wb-line)" : LINES[number % LINES.length];
    if (one.kind === "points") {
      const dots = Array.from(one.x, (x, n) => svg("circle", { cx: px(x), cy: py(one.y[n]), r: 3, fill: colour }));
      return [svg("path", { class: "wb-mon-line", d: path(one), stroke: colour, "stroke-width": 1 }), ...dots];
    }
    const dash = one.kind === "raw" ? "none" : DASHES[number % DASHES.length];
    const name = one.kind === "raw" ? "wb-mon-raw" : "wb-mon-line";
    return [svg("path", { class: name, d: path(one), stroke: colour, "stroke-dasharray": dash })];
  }

  function axes(unit) {
    const parts = ticks(box.low, box.high, 3).flatMap((y) => [
      svg("line", { class: "wb-mon-grid", x1: EDGE.left, x2: WIDE - EDGE.right, y1: py(y), y2: py(y) }),
      svg("text", { x: EDGE.left - 4, y: py(y) + 3, "text-anchor": "end", text: short(y) }),
    ]);
    for (const x of ticks(box.left, box.right, 5)) {
      parts.push(svg("text", { x: px(x), y: HIGH - 6, "text-anchor": "middle", text: short(x) }));
    }
    grid.replaceChildren(...parts, svg("text", { x: 2, y: HIGH - 6, text: unit }));
  }

  function draw(panel, unit) {
    title.textContent = panel.title;
    curves = panel.curves.map((one) => ({ ...one, x: numbers(one.x), y: numbers(one.y) }));
    box = bounds(key, curves);
    axes(unit);
    let number = -1;
    lines.replaceChildren(...curves.flatMap((one) => shape(one, one.kind === "raw" ? 0 : (number += 1))));
    number = -1;
    keys.replaceChildren(...curves.map((one) => {
      const raw = one.kind === "raw";
      if (!raw) number += 1;
      const stroke = raw ? "var(--wb-line)" : LINES[number % LINES.length];
      const dash = raw ? "none" : DASHES[number % DASHES.length];
      const line = svg("line", {
        x1: 0, x2: 22, y1: 4, y2: 4, stroke, "stroke-width": raw ? 1 : 2, "stroke-dasharray": dash,
      });
      const swatch = svg("svg", { width: 22, height: 8, "aria-hidden": "true" }, line);
      const value = one.y.length ? short(one.y[one.y.length - 1]) : "–";
      return h("span", { class: "wb-mon-key" }, swatch, `${one.name} ${value}`);
    }));
    const last = curves.map((one) => `${one.name} ${short(one.y[one.y.length - 1])}`).join(", ");
    plot.setAttribute("aria-label", `${panel.title}: ${last}`);
  }

  function read(x) {
    const at = x === null ? EDGE.left : px(Math.min(box.right, Math.max(box.left, x)));
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    cursor.style.display = x === null ? "none" : "";
    if (x === null) return "";
    return curves.map((one) => {
      let best = 0;
      for (let n = 1; n < one.x.length; n += 1) if (Math.abs(one.x[n] - x) < Math.abs(one.x[best] - x)) best = n;
      return curves.length > 1 ? `${one.name} ${short(one.y[best])}` : short(one.y[best]);
    }).join(", ");
  }

  plot.addEventListener("pointermove", (event) => {
    const place = plot.getBoundingClientRect();
    const share = ((event.clientX - place.left) / place.width * WIDE - EDGE.left) / (WIDE - EDGE.left - EDGE.right);
    onCursor(box.left + Math.min(1, Math.max(0, share)) * (box.right - box.left));
  });
  plot.addEventListener("pointerleave", () => onCursor(null));
  cursor.style.display = "none";
  return { root, draw, read, box: () => box, name: () => title.textContent };
}

function render({ model, el }) {
  const charts = new Map();
  let cursor = null;
  const state = h("span", { class: "wb-mon-state" });
  const said = h("p", { class: "wb-mon-said wb-soft", role: "status" });
  const told = h("p", { class: "wb-error wb-mon-error", hidden: true });
  const values = h("span", { class: "wb-mon-figures" });
  const done = h("div", { class: "wb-mon-done" });
  const bar = h("div", { class: "wb-mon-bar", role: "progressbar", "aria-label": "steps", "aria-valuemin": 0 }, done);
  const room = h("div", { class: "wb-mon-charts" });
  const reading = h("p", { class: "wb-mon-said wb-mon-figures" });

  async function act(kind) {
    const saves = now().keeps ? " and saves" : "";
    const late = setTimeout(() => {
      said.textContent = `Asked to ${kind}. The kernel is busy with a cell that does not await: it answers after it.`;
    }, 1500);
    try {
      await ask(model, { kind });
      said.textContent = {
        pause: "Pauses after this step.", resume: "Goes on.",
        stop: `Stops after this step${saves}.`, checkpoint: "Saves at the end of this step.",
      }[kind];
    } catch (error) {
      said.textContent = error.message;
    }
    clearTimeout(late);
  }
  const now = () => model.get("state");
  const pausing = () => act(now().pausing ? "resume" : "pause");
  const button = (name, key, fn) => h("button", { class: `wb-button wb-mon-${name}`, type: "button", "aria-keyshortcuts": key, onclick: fn });
  const pause = button("pause", "p", pausing);
  const stop = button("stop", "s", () => act("stop"));
  const checkpoint = button("checkpoint", "c", () => act("checkpoint"));
  const buttons = h("div", { class: "wb-row wb-mon-buttons", role: "group", "aria-label": "ask the run" }, pause, stop, checkpoint);

  function point(x) {
    cursor = x;
    const found = [...charts.values()].map((one) => [one.name(), one.read(x)]).filter(([, text]) => text);
    const unit = now().x === "step" ? "step" : "second";
    reading.textContent = x === null ? "" : `${unit} ${fmt.count(x)}: ${found.map(([name, text]) => `${name}: ${text}`).join(" · ")}`;
  }

  function step(direction) {
    const first = charts.values().next().value;
    if (!first) return;
    const { left, right } = first.box();
    const from = cursor === null ? (direction > 0 ? left : right) : cursor + direction * Math.max(1, (right - left) / 50);
    point(Math.min(right, Math.max(left, from)));
  }

  function figures(found) {
    const parts = [];
    const total = now().total;
    parts.push(total ? `step ${fmt.count(found.step)} of ${fmt.count(total)}` : `${fmt.count(found.step)} steps`);
    if (found.loss !== undefined) parts.push(`loss ${short(found.loss)}`);
    if (found.kept !== undefined) parts.push(`kept ${fmt.share(found.kept)}`);
    if (found.pairs_per_second !== undefined) parts.push(`${short(found.pairs_per_second)} pairs/s`);
    if (found.evaluation !== undefined) parts.push(`evaluation ${short(found.evaluation)} (best ${short(found.best)} at step ${fmt.count(found.best_step)})`);
    if (found.seconds_left > 0) parts.push(`${clock(found.seconds_left)} left`);
    return parts.join(" · ");
  }

  function draw() {
    const given = now();
    if (!given || !given.status) return;
    const quiet = given.quiet ? ", no step for a while" : "";
    const wish = given.stopping ? ", stop asked for" : given.pausing && given.status !== "paused" ? ", pause asked for" : "";
    state.textContent = (MARKS[given.status] || given.status) + wish + quiet;
    told.textContent = given.error;
    told.hidden = !given.error;
    values.textContent = figures(given.numbers);
    const share = given.total ? given.numbers.step / given.total : 1;
    done.style.width = `${100 * share}%`;
    bar.setAttribute("aria-valuemax", given.total || given.numbers.step || 1);
    bar.setAttribute("aria-valuenow", given.numbers.step);
    buttons.style.display = given.live ? "" : "none";
    pause.textContent = given.pausing ? "Resume" : "Pause";
    pause.setAttribute("aria-pressed", String(Boolean(given.pausing)));
    stop.textContent = "Stop after this step";
    checkpoint.textContent = given.saving ? "Checkpoint asked for" : "Checkpoint now";
    const goes = given.status === "running" || given.status === "paused";
    for (const one of [pause, stop]) one.disabled = !goes;
    checkpoint.disabled = given.status === "done" || !given.keeps;
    checkpoint.title = given.keeps ? "" : "this run keeps nothing on disk";
    const unit = given.x === "step" ? "step" : "seconds";
    for (const panel of given.panels) {
      if (!charts.has(panel.key)) {
        const one = chart(panel.key, point);
        charts.set(panel.key, one);
      }
      charts.get(panel.key).draw(panel, unit);
    }
    const order = given.panels.map((panel) => charts.get(panel.key).root);
    if (order.some((one, place) => room.children[place] !== one)) room.replaceChildren(...order);
    if (cursor !== null) point(cursor);
  }

  const help = () => {
    said.textContent = "p pause or resume, s stop after this step, c checkpoint, left and right read the curves, Escape ends that.";
  };
  const hint = (key, text) => h("span", { class: "wb-soft" }, h("kbd", { class: "wb-key", text: key }), ` ${text}`);
  buttons.append(hint("p", "pause"), hint("s", "stop"), hint("c", "checkpoint"), hint("?", "help"));
  const root = h(
    "div", { class: "wb-part wb-mon", role: "group", "aria-label": "run monitor" },
    h("div", { class: "wb-row" }, state, values), bar, buttons, said, told, room, reading,
  );
  const live = (fn, one) => () => { if (now().live && !one.disabled) fn(); };
  const free = guardKeys(root, {
    p: live(pausing, pause), s: live(() => act("stop"), stop),
    c: live(() => act("checkpoint"), checkpoint), "?": help,
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), Escape: () => point(null),
  }, { repeat: ["ArrowLeft", "ArrowRight"] });
  model.on("change:state", draw);
  el.append(root);
  draw();
  return () => {
    model.off("change:state", draw);
    free();
  };
}

export default { render };
