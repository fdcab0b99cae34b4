// The cells of a batch on a canvas: hover or walk with the arrows, Enter chooses, [ and ] turn.

const MODES = [
  ["reason", "Reasons", "why each cell counts or not; kept cells are grey by score"],
  ["score", "Scores", "similarity of anchor and candidate"],
  ["weight", "Weights", "what the rules left: 1 keep, 0 drop"],
  ["share", "Gradient", "share of the row's gradient on negatives, square-root scale"],
];
const KEYS = [
  ["arrows", "walk"], ["Home End", "ends of the row"], ["PgUp PgDn", "ten rows"],
  ["Enter", "choose the cell"], ["h", "heaviest negative of the row"], ["[ ]", "batch before, after"],
  ["1 2 3 4", "what is drawn"], ["+ -", "zoom"], ["?", "this help"],
];
const LONGEST_SIDE = 8192;
const LONGEST_TEXT = 1500;

function words(parts) {
  return h("dl", { class: "wb-micro-facts" }, parts.flatMap(([name, value]) => [
    h("dt", { text: name }), h("dd", { text: value }),
  ]));
}

function cellFacts(cell, meta) {
  const code = meta.reasons.findIndex((one) => one.name === cell.reason);
  return words([
    ["score", fmt.number(cell.score ?? NaN)],
    ["weight", fmt.number(cell.weight ?? NaN)],
    ["gradient", fmt.share(cell.share ?? NaN)],
    ["reason", `${letterOf(code)} ${cell.reason}`.trim()],
    ["row's loss", fmt.number(cell.loss ?? NaN)],
  ]);
}

function brief(text) {
  if (!text) return "(no text: pass collection=)";
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}… (view.cell has more)` : text;
}

function texts(cell) {
  const one = (role, id, text, looks) => h("section", { class: "wb-micro-text", "data-wb-text": role },
    h("h4", { text: `${role} ${id ?? ""}${looks ? " (looks)" : ""}` }),
    h("p", { class: "wb-text", dir: "auto", text: brief(text) }));
  return [
    one("anchor", cell.query, cell.query_text, cell.looks === "query"),
    one("candidate", cell.candidate ?? "mix", cell.candidate_text, false),
    one("positive", cell.positive, cell.positive_text, cell.looks === "positive"),
  ];
}

function render({ model, el }) {
  const state = {
    meta: null, layers: new Map(), mode: model.get("mode"), only: null, size: 1, zoomed: false,
    cursor: [0, 0], hover: null, cells: new Map(), board: null, turn: 0,
  };
  const id = `wb-micro-${Math.random().toString(36).slice(2)}`;
  const part = (name, tag, attributes = {}, ...children) =>
    h(tag, { class: `wb-micro-${name}`, "data-wb-micro": name, ...attributes }, ...children);
  const button = (name, text, title, act, pressed) => h("button", {
    class: "wb-button", type: "button", "data-wb-micro": name, title, text, onclick: act,
    "aria-pressed": pressed,
  });

  const name = part("name", "strong", { id });
  const jump = h("input", {
    class: "wb-input wb-micro-jump", type: "number", min: 1, "aria-label": "batch number",
    "data-wb-micro": "jump", onchange: () => turnTo(Number(jump.value) - 1),
  });
  const of = h("span", { class: "wb-soft" });
  const modes = new Map(MODES.map(([mode, text, title]) =>
    [mode, button(`mode-${mode}`, text, title, () => choose(mode), "false")]));
  const before = button("before", "[ before", "batch before", () => turnTo(model.get("place") - 1));
  const after = button("after", "after ]", "batch after", () => turnTo(model.get("place") + 1));
  const help = () => keys.toggleAttribute("hidden");
  const bar = h("div", { class: "wb-row", role: "toolbar", "aria-label": "batch and drawing" },
    name, before, jump, of, after, h("span", { class: "wb-row" }, [...modes.values()]),
    button("smaller", "−", "smaller cells", () => zoom(-1)),
    button("larger", "+", "larger cells", () => zoom(1)),
    button("help", "?", "keys", help));
  const keys = part("help", "p", { hidden: true }, KEYS.flatMap(([key, what]) =>
    [h("kbd", { class: "wb-key", text: key }), ` ${what}  `]));
  const problem = part("problem", "p", { role: "alert", class: "wb-error", hidden: true });
  const strip = part("blocks", "div");
  const canvas = part("canvas", "canvas", { role: "img" });
  const veil = part("veil", "canvas", { "aria-hidden": "true" });
  const scroller = part("scroller", "div", { tabindex: "0", role: "region", "aria-label": "matrix" },
    strip, h("div", { class: "wb-micro-stack" }, canvas, veil));
  const legend = part("legend", "div", { class: "wb-row" });
  const status = part("status", "p", { role: "status", class: "wb-soft" });
  const panel = part("panel", "div", { role: "region", "aria-label": "cell" });
  const heaviest = part("heaviest", "div");
  const report = part("report", "div");
  const blocks = part("by-block", "div");
  const root = h("div", { class: "wb-part wb-micro", role: "group", "aria-labelledby": id },
    bar, keys, problem,
    h("div", { class: "wb-micro-main" }, h("div", {}, scroller, legend, status), panel),
    h("div", { class: "wb-micro-more" }, heaviest, blocks, report));
  el.replaceChildren(root);

  const say = (error) => {
    problem.hidden = !error;
    problem.textContent = error ? error.message : "";
  };

  // -- what Python knows ---------------------------------------------------------------------

  async function load() {
    const turn = ++state.turn;
    root.setAttribute("aria-busy", "true");
    root.removeAttribute("data-wb-ready");
    try {
      const [meta] = await ask(model, { kind: "batch", place: model.get("place") });
      if (turn !== state.turn) return;
      Object.assign(state, { meta, layers: new Map(), cells: new Map(), hover: null, only: null });
      tell();
      await show(turn);
    } catch (error) {
      if (turn === state.turn) say(error);
    }
    if (turn === state.turn) root.removeAttribute("aria-busy");
  }

  async function show(turn = state.turn) {
    const { mode, meta } = state;
    if (!meta) return;
    for (const wanted of mode === "reason" ? ["score", "reason"] : [mode]) {
      if (state.layers.has(wanted)) continue;
      const [{ low, high, place }, [bytes]] = await ask(model, { kind: "layer", mode: wanted });
      if (turn !== state.turn || place !== meta.place) return;
      const held = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
      const numbers = wanted === "reason" ? new Int8Array(held) : new Float32Array(held);
      state.layers.set(wanted, { numbers, low, high });
    }
    if (mode !== state.mode) return;
    say(null);
    state.board = paint(state);
    if (!state.zoomed) fit();
    draw();
    label();
    chosen();
    root.setAttribute("data-wb-ready", `${meta.place} ${mode}`);
  }

  const look = throttle(async () => {
    const { turn, hover, cursor, mode } = state;
    const [row, column] = hover || cursor;
    const key = `${mode} ${row} ${column}`;
    try {
      if (!state.cells.has(key)) {
        const [found] = await ask(model, { kind: "cell", row, column, mode });
        if (turn !== state.turn) return;
        state.cells.set(key, found);
      }
      const now = state.hover || state.cursor;
      if (now[0] === row && now[1] === column) reveal(state.cells.get(key));
    } catch (error) {
      say(error);
    }
  }, 40);

  function reveal(cell) {
    const where = `row ${cell.row}, column ${cell.column} (${cell.block})`;
    panel.setAttribute("data-wb-cell", `${cell.row} ${cell.column}`);
    panel.replaceChildren(h("h3", { text: where }), cellFacts(cell, state.meta), ...texts(cell));
    if (!state.hover) {
      status.textContent = `${where}: score ${fmt.number(cell.score ?? NaN)}, ${cell.reason}`;
    }
  }

  async function row() {
    const turn = state.turn;
    try {
      const [found] = await ask(model, { kind: "row", row: model.get("row") });
      if (turn !== state.turn || found.row !== model.get("row")) return;
      heaviest.replaceChildren(tableOf(
        ["", "candidate", "block", "score", "weight", "gradient", "text"],
        found.heaviest.map((one, place) => [
          button(`heavy-${place}`, String(place + 1), "go to this cell", () => go(found.row, one.column)),
          String(one.candidate ?? "mix"), one.block, fmt.number(one.score ?? NaN),
          fmt.number(one.weight ?? NaN), fmt.share(one.share), one.text,
        ]),
        `Heaviest negatives of row ${found.row} (${found.query})` +
          (found.heaviest.length ? "" : ": nothing is left of it")));
      heaviest.setAttribute("data-wb-row", found.row);
    } catch (error) {
      say(error);
    }
  }

  // -- drawing -------------------------------------------------------------------------------

  function fit() {
    const [rows, columns] = state.meta.tiles;
    const wide = Math.max(200, scroller.clientWidth - 4);
    const fits = SIZES.filter((size) => size * columns <= wide && size * rows <= 560);
    state.size = fits.length ? fits[fits.length - 1] : 1;
  }

  function zoom(by) {
    if (!state.meta) return;
    const next = SIZES[SIZES.indexOf(state.size) + by];
    if (!next || next * Math.max(...state.meta.tiles) > LONGEST_SIDE) return;
    Object.assign(state, { size: next, zoomed: true });
    draw();
  }

  function draw() {
    const { meta, size } = state;
    const [rows, columns] = meta.tiles;
    for (const one of [canvas, veil]) {
      one.width = columns * size;
      one.height = rows * size;
    }
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(state.board, 0, 0, columns * size, rows * size);
    letters(context, state);
    borders(context, state);
    strip.style.width = `${columns * size}px`;
    strip.replaceChildren(...meta.blocks.map((block) => {
      const tag = h("span", { class: "wb-micro-block", text: block.name, title: block.title });
      tag.style.width = `${block.count * size}px`;
      return tag;
    }));
    mark();
  }

  function mark() {
    const context = veil.getContext("2d");
    context.clearRect(0, 0, veil.width, veil.height);
    if (state.hover) frame(context, state.hover, state.size, true);
    frame(context, state.cursor, state.size, false);
  }

  function label() {
    const { meta, mode } = state;
    for (const [one, element] of modes) element.setAttribute("aria-pressed", String(one === mode));
    const title = MODES.find(([one]) => one === mode)[2];
    canvas.setAttribute("aria-label", `${meta.name}: ${meta.shape[0]} anchors by ${meta.shape[1]} ` +
      `candidates, ${title}`);
    if (mode === "reason") {
      legend.replaceChildren(...meta.reasons.map((one, code) => {
        if (!one.count || !code) return code ? null : h("span", { text: `kept ${fmt.count(one.count)}` });
        const tag = button(`reason-${code}`, "", "show only these", () => alone(code),
          String(state.only === code));
        tag.append(chipOf(code), ` ${one.name} `, fmt.count(one.count));
        return tag;
      }).filter(Boolean));
    } else {
      const { low, high } = state.layers.get(mode);
      legend.replaceChildren(fmt.number(low), h("span", { class: "wb-micro-ramp" }), fmt.number(high),
        h("span", { class: "wb-soft", text: title }));
    }
  }

  function alone(code) {
    state.only = state.only === code ? null : code;
    state.board = paint(state);
    draw();
    label();
    legend.querySelector(`[data-wb-micro="reason-${code}"]`)?.focus();
  }

  function tell() {
    const { meta } = state;
    name.textContent = meta.name;
    of.textContent = `of ${fmt.count(meta.count)}${meta.note ? `; ${meta.note}` : ""}`;
    Object.assign(jump, { max: meta.count, value: meta.place + 1 });
    before.disabled = meta.place === 0;
    after.disabled = meta.place + 1 >= meta.count;
    blocks.replaceChildren(tableOf(
      ["block", "cells", "no candidate", "dropped", "kept", "mean weight", "gradient"],
      meta.blocks.map((one) => [one.name, ...[one.cells, one.no_candidate, one.dropped, one.kept]
        .map(fmt.count), fmt.number(one.mean_weight ?? NaN), fmt.share(one.share ?? NaN)]), "Blocks"));
    report.replaceChildren(meta.report.length
      ? tableOf(["", "value"], meta.report.map(([one, value]) =>
        [one, Number.isInteger(value) ? fmt.count(value) : fmt.number(value ?? NaN)]), "Composition")
      : h("p", { class: "wb-soft", text: "no composition report: nobody sampled this batch" }));
  }

  // -- moving --------------------------------------------------------------------------------

  function move(rows, columns) {
    const limits = state.meta ? state.meta.tiles : [1, 1];
    state.hover = null;
    state.cursor = [rows, columns].map((by, axis) => clamp(state.cursor[axis] + by, 0, limits[axis] - 1));
    const [y, x] = state.cursor.map((place) => place * state.size);
    const top = y + strip.offsetHeight;
    if (x < scroller.scrollLeft || x + state.size > scroller.scrollLeft + scroller.clientWidth) {
      scroller.scrollLeft = x - scroller.clientWidth / 2;
    }
    if (top < scroller.scrollTop || top + state.size > scroller.scrollTop + scroller.clientHeight) {
      scroller.scrollTop = top - scroller.clientHeight / 2;
    }
    mark();
    look();
  }

  function go(toRow, toColumn) {
    model.set("row", toRow);
    model.set("column", toColumn);
    model.save_changes();
  }

  async function select() {
    if (!state.meta) return;
    const { turn } = state;
    const [atRow, atColumn] = state.cursor;
    try {
      const message = { kind: "cell", row: atRow, column: atColumn, mode: state.mode };
      const [found] = state.meta.whole ? [{ row: atRow, column: atColumn }] : await ask(model, message);
      if (turn === state.turn) go(found.row, found.column);
    } catch (error) {
      say(error);
    }
  }

  function chosen() {
    if (!state.meta || model.get("row") < 0) return;
    const places = [model.get("row"), model.get("column")];
    state.cursor = places.map((cell, axis) => tileOf(state.meta.starts[axis], cell));
    move(0, 0);
    row();
  }

  function turnTo(place) {
    if (!state.meta || !(place >= 0 && place < state.meta.count)) return;
    model.set("place", place);
    model.save_changes();
  }

  function choose(mode) {
    model.set("mode", mode);
    model.save_changes();
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientY - box.top, event.clientX - box.left].map((pixels, axis) =>
      clamp(Math.floor(pixels / state.size), 0, state.meta.tiles[axis] - 1));
  }

  veil.addEventListener("mousemove", (event) => {
    if (!state.meta) return;
    state.hover = under(event);
    mark();
    look();
  });
  veil.addEventListener("mouseleave", () => move(0, 0));
  veil.addEventListener("click", (event) => {
    if (!state.meta) return;
    state.cursor = under(event);
    move(0, 0);
    select();
  });
  const far = () => state.meta?.tiles[1] || 0;
  const unguard = guardKeys(root, {
    ArrowUp: () => move(-1, 0), ArrowDown: () => move(1, 0),
    ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1),
    PageUp: () => move(-10, 0), PageDown: () => move(10, 0),
    Home: () => move(0, -far()), End: () => move(0, far()), Enter: select, " ": select,
    "[": () => turnTo(model.get("place") - 1), "]": () => turnTo(model.get("place") + 1),
    "+": () => zoom(1), "-": () => zoom(-1), "?": help,
    h: () => heaviest.querySelector("button")?.click(),
    ...Object.fromEntries(MODES.map(([mode], place) => [String(place + 1), () => choose(mode)])),
  }, { repeat: ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown"] });

  const changed = debounce(chosen, 0);
  const remode = () => {
    state.mode = model.get("mode");
    state.only = null;
    show().catch(say);
  };
  const watched = [
    ["change:row", changed], ["change:column", changed], ["change:place", load], ["change:mode", remode],
  ];
  for (const [event, act] of watched) model.on(event, act);
  const resized = new ResizeObserver(() => {
    const size = state.size;
    if (state.board && !state.zoomed) fit();
    if (state.board && size !== state.size) draw();
  });
  resized.observe(scroller);
  load();
  return () => {
    unguard();
    resized.disconnect();
    for (const [event, act] of watched) model.off(event, act);
  };
}

export default { render };
