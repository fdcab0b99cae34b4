// How hard mined negatives are: a density, stacked bars, checkpoints, and the rows behind a bar.

const WIDE = 420;
const HIGH = 340;
const EDGE = { left: 52, right: 12, top: 16, bottom: 44 };
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "1 3"];
const HATCHES = ["M0 8L8 0", "M0 0L8 8", "M0 4L8 4", "M4 0L4 8", "M0 0L8 8M0 8L8 0"];
const KEYS = [
  ["arrows", "walk in the density"], ["Enter", "rows behind the cell"], ["p", "counts or shares"],
  ["[ ]", "checkpoint before, after"], ["m", "more rows"], ["Esc", "choose nothing"], ["?", "this help"],
];

const line = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function sheet(label) {
  return svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "wb-hard-sheet", role: "img", "aria-label": label });
}

function write(text, x, y, attributes = {}) {
  return svg("text", { x, y, class: "wb-hard-word", text, ...attributes });
}

function rule(x1, y1, x2, y2, attributes = {}) {
  return svg("line", { x1, y1, x2, y2, class: "wb-hard-rule", ...attributes });
}

/** Axes with round numbers; both are linear. */
function axes(board, x, y, names, [lowX, highX], [lowY, highY]) {
  const bottom = HIGH - EDGE.bottom;
  board.append(rule(EDGE.left, bottom, WIDE - EDGE.right, bottom), rule(EDGE.left, EDGE.top, EDGE.left, bottom));
  const digits = (low, high) => (high - low > 20 ? 0 : 2);
  for (const at of lowX === null ? [] : ticks(lowX, highX)) {
    board.append(write(at.toFixed(digits(lowX, highX)), x(at), bottom + 14, { "text-anchor": "middle" }));
  }
  for (const at of ticks(lowY, highY)) {
    board.append(write(at.toFixed(digits(lowY, highY)), EDGE.left - 5, y(at) + 4, { "text-anchor": "end" }));
  }
  board.append(
    write(names[0], (EDGE.left + WIDE - EDGE.right) / 2, HIGH - 6, { "text-anchor": "middle" }),
    write(names[1], 12, (EDGE.top + bottom) / 2, {
      "text-anchor": "middle", transform: `rotate(-90 12 ${(EDGE.top + bottom) / 2})`,
    }));
}

/** Candidates by both scores; the lines are margins below the positive's score. */
function densitySheet(told, choose) {
  const { x: xs, y: ys, cells, most } = told.density;
  const board = sheet(`density of ${fmt.count(told.found)} candidates: score of the labelled positive ` +
    "across, of the candidate up");
  const x = line(xs[0], xs[xs.length - 1], EDGE.left, WIDE - EDGE.right);
  const y = line(ys[0], ys[ys.length - 1], HIGH - EDGE.bottom, EDGE.top);
  for (const [i, j, n] of cells) {
    const cell = svg("rect", {
      x: x(xs[i]), y: y(ys[j + 1]), width: x(xs[i + 1]) - x(xs[i]), height: y(ys[j]) - y(ys[j + 1]),
      class: "wb-hard-cell", "fill-opacity": (0.15 + 0.85 * Math.sqrt(n / most)).toFixed(3),
      "data-wb-cell": `${i} ${j}`, onclick: () => choose({ x: i, y: j }),
    }, svg("title", { text: `${fmt.count(n)} candidates` }));
    board.append(cell);
  }
  told.margins.forEach((one, place) => {
    const from = Math.max(xs[0], ys[0] + one.margin);
    const to = Math.min(xs[xs.length - 1], ys[ys.length - 1] + one.margin);
    if (from >= to) return;
    const ends = [x(from), y(from - one.margin), x(to), y(to - one.margin)];
    board.append(rule(...ends, { class: "wb-hard-halo" }),
      rule(...ends, { class: "wb-hard-margin", "stroke-dasharray": DASHES[place % DASHES.length] }));
  });
  axes(board, x, y, ["score of the labelled positive", "score of the candidate"],
    [xs[0], xs[xs.length - 1]], [ys[0], ys[ys.length - 1]]);
  const cursor = svg("rect", { class: "wb-hard-cursor", visibility: "hidden" });
  board.append(cursor);
  const point = ([i, j]) => {
    const set = { x: x(xs[i]) - 1, y: y(ys[j + 1]) - 1, width: x(xs[i + 1]) - x(xs[i]) + 2,
      height: y(ys[j]) - y(ys[j + 1]) + 2, visibility: "visible" };
    for (const [name, value] of Object.entries(set)) cursor.setAttribute(name, value);
  };
  return { board, point };
}

function hatches(id, count) {
  return svg("defs", {}, Array.from({ length: count }, (_, code) => (code
    ? svg("pattern", { id: `${id}-${code}`, width: 8, height: 8, patternUnits: "userSpaceOnUse" },
      svg("rect", { width: 8, height: 8, fill: colourOf(code) }),
      svg("path", { d: HATCHES[(code - 1) % HATCHES.length], stroke: inkOf(code), "stroke-width": 0.8 }))
    : null)));
}

/** A bar per band, from the bottom: kept, then what each reason drops. */
function barSheet(told, id, { shares, chosen }, choose) {
  const board = sheet("candidates per hardness band, kept and dropped by reason; numbers in the table");
  board.append(hatches(id, told.reasons.length));
  const totals = told.bands.map((one) => one.found);
  const top = shares ? 1 : Math.max(1, ...totals);
  const y = line(0, top, HIGH - EDGE.bottom, EDGE.top + 14);
  const wide = (WIDE - EDGE.left - EDGE.right) / told.bands.length;
  told.bands.forEach((band, place) => {
    const left = EDGE.left + place * wide;
    let below = 0;
    band.counts.forEach((n, code) => {
      if (!n) return;
      const part = shares ? n / band.found : n;
      const high = y(below) - y(below + part);
      const mine = chosen.band === band.band && ["all", told.reasons[code]].includes(chosen.part);
      board.append(svg("rect", {
        x: left + 3, y: y(below + part), width: wide - 6, height: Math.max(high, 0.5),
        fill: code ? `url(#${id}-${code})` : "var(--wb-soft)", "data-wb-bar": `${band.band}|${told.reasons[code]}`,
        class: mine ? "wb-hard-bar wb-hard-mine" : "wb-hard-bar",
        onclick: () => choose({ band: band.band, part: told.reasons[code] }),
      }, svg("title", { text: `${band.band}: ${told.reasons[code]} ${fmt.count(n)}` })));
      below += part;
    });
    const [x, end] = [left + wide / 2, y(below)];
    if (band.judged) {
      board.append(write(`FN ${band.false_negatives}/${band.judged}`, x, end - 4, { "text-anchor": "middle" }));
    }
    const lower = told.bands.length > 6 && place % 2 ? 11 : 0; // names of neighbours would touch
    board.append(write(band.short, x, HIGH - EDGE.bottom + 13 + lower, { "text-anchor": "middle" }));
  });
  axes(board, null, y, ["share of the positive's score", shares ? "share of the band" : "candidates"],
    [null, null], [0, top]);
  return board;
}

/** Lines of quantiles over checkpoints, named at their ends. */
function lineSheet(told) {
  const { checkpoints, lines } = told.movement;
  const board = sheet("share of the positive's score over checkpoints; numbers in the table");
  const values = lines.flatMap((one) => one.values).filter((value) => value !== null);
  const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const right = WIDE - 60;
  const x = line(0, Math.max(1, checkpoints.length - 1), EDGE.left + 10, right);
  const y = line(low, high, HIGH - EDGE.bottom, EDGE.top);
  const ends = [];
  lines.forEach((one, place) => {
    const points = one.values.map((value, at) => [x(at), value === null ? null : y(value)]);
    const there = points.filter(([, height]) => height !== null);
    if (!there.length) return;
    const stroke = colours[place % (colours.length - 1)];
    board.append(svg("polyline", {
      points: there.map((point) => point.join(",")).join(" "), fill: "none", stroke, "stroke-width": 2,
      "stroke-dasharray": DASHES[place % DASHES.length],
    }), ...there.map(([px, py]) => svg("circle", { cx: px, cy: py, r: 2.5, fill: stroke })));
    ends.push({ name: one.name, x: there[there.length - 1][0] + 6, y: there[there.length - 1][1] + 4 });
  });
  ends.sort((one, other) => other.y - one.y).forEach((end, place) => {
    if (place) end.y = Math.min(end.y, ends[place - 1].y - 11);
    board.append(write(end.name, end.x, end.y));
  });
  const every = Math.ceil(checkpoints.length / 6);
  checkpoints.forEach((name, at) => {
    if (at % every) return;
    const short = name.length > 12 ? `${name.slice(0, 11)}…` : name;
    board.append(write(short, x(at), HIGH - EDGE.bottom + 14, { "text-anchor": "middle" }));
  });
  axes(board, null, y, ["checkpoint", "share of the positive's score"], [null, null], [low, high]);
  return board;
}

function render({ model, el }) {
  const id = `wb-hard-${Math.random().toString(36).slice(2)}`;
  const state = { told: null, shares: false, at: [0, 0], point: null, turn: 0, rows: 0, count: 0 };
  const part = (name, tag, attributes = {}, ...children) =>
    h(tag, { class: `wb-hard-${name}`, "data-wb-hard": name, ...attributes }, ...children);
  const button = (name, text, act, attributes = {}) => h("button", {
    class: "wb-button", type: "button", "data-wb-hard": name, text, onclick: act, ...attributes,
  });
  const checkpoint = h("select", {
    class: "wb-input", "aria-label": "checkpoint", "data-wb-hard": "checkpoint",
    onchange: () => turnTo(checkpoint.selectedIndex),
  });
  const title = part("title", "strong", { id });
  const shares = button("shares", "as shares", () => flip(), { "aria-pressed": "false" });
  const keys = part("help", "p", { hidden: true }, KEYS.flatMap(([key, what]) =>
    [h("kbd", { class: "wb-key", text: key }), ` ${what}  `]));
  const problem = part("problem", "p", { role: "alert", class: "wb-error", hidden: true });
  const status = part("status", "p", { role: "status", class: "wb-soft" });
  const [sheets, margins, legend, table, moves] = ["sheets", "margins", "legend", "bands", "moves"]
    .map((name) => part(name, "div"));
  const heading = part("heading", "p", { class: "wb-hard-heading" });
  const list = part("rows", "div", { tabindex: "0", role: "region", "aria-label": "rows behind" });
  const more = button("more", "more rows (m)", () => rows(state.rows), { hidden: true });
  const help = () => keys.toggleAttribute("hidden");
  const root = h("div", { class: "wb-part wb-hard", role: "group", "aria-labelledby": id },
    h("div", { class: "wb-row" }, title, checkpoint, shares, button("help", "?", help, { title: "keys" })),
    keys, problem, sheets, status, margins, legend, table, moves, heading, list, more);
  el.replaceChildren(root);

  const say = (error) => {
    problem.hidden = !error;
    problem.textContent = error ? error.message : "";
  };

  async function load() {
    const turn = ++state.turn;
    root.removeAttribute("data-wb-ready");
    try {
      const [told] = await ask(model, { kind: "level", checkpoint: model.get("checkpoint") });
      if (turn !== state.turn) return;
      state.told = told;
      say(null);
      title.textContent = told.title;
      checkpoint.hidden = told.checkpoints.length < 2;
      checkpoint.replaceChildren(...told.checkpoints.map((name) => h("option", { value: name, text: name })));
      checkpoint.value = told.checkpoint;
      state.at = told.density.cells.length
        ? told.density.cells.reduce((best, one) => (one[2] > best[2] ? one : best)).slice(0, 2) : [0, 0];
      draw();
      await rows(0);
      if (turn === state.turn) root.setAttribute("data-wb-ready", told.checkpoint);
    } catch (error) {
      if (turn === state.turn) say(error);
    }
  }

  // -- pictures and tables -------------------------------------------------------------------

  function draw() {
    const { told } = state;
    const chosen = model.get("chosen");
    const made = densitySheet(told, choose);
    state.point = made.point;
    sheets.replaceChildren(made.board, barSheet(told, id, { ...state, chosen }, choose),
      ...(told.movement ? [lineSheet(told)] : []));
    if ("x" in chosen) made.point([chosen.x, chosen.y]);
    margins.replaceChildren(tableOf(["margin line", "above it", "share", "queries"],
      told.margins.map((one, place) => {
        const sample = svg("svg", { viewBox: "0 0 40 8", width: 40, height: 8, "aria-hidden": "true" },
          rule(0, 4, 40, 4, { class: "wb-hard-margin", "stroke-dasharray": DASHES[place % DASHES.length] }));
        return [h("span", {}, sample, ` positive − ${one.margin}`), fmt.count(one.above),
          fmt.share(one.share), fmt.count(one.queries)];
      }), `Above the margin lines${told.density.without
        ? `; ${fmt.count(told.density.without)} candidates lack a score` : ""}`));
    legend.replaceChildren(h("div", { class: "wb-row" }, told.reasons.map((name, code) =>
      h("span", {}, code ? chipOf(code) : h("span", { class: "wb-hard-kept" }), ` ${name}`))));
    table.replaceChildren(bandTable(told));
    moves.replaceChildren(...(told.movement
      ? [tableOf(told.movement.names, told.movement.rows, "How hardness moves over checkpoints")] : []));
  }

  function bandTable(told) {
    const count = (band, name, n) => (n ? button("count", fmt.count(n), () => choose({ band, part: name }), {
      "aria-label": `${n} of ${band}: ${name}`, "data-wb-count": `${band}|${name}`,
    }) : "0");
    const said = told.bands.some((one) => one.judged !== undefined);
    return tableOf(
      ["band", "found", ...told.reasons.map((name, code) => `${letterOf(code)} ${name}`.trim()), "queries",
        ...(said ? ["judged", "false negatives"] : [])],
      told.bands.map((one) => [one.band, count(one.band, "all", one.found),
        ...one.counts.map((n, code) => count(one.band, told.reasons[code], n)), fmt.count(one.queries),
        ...(said ? [fmt.count(one.judged), fmt.count(one.false_negatives)] : [])]),
      "Hardness bands: press a number for the rows behind it");
  }

  function flip() {
    state.shares = !state.shares;
    shares.setAttribute("aria-pressed", String(state.shares));
    if (state.told) draw();
  }

  // -- the rows behind -----------------------------------------------------------------------

  async function choose(chosen) {
    try {
      await ask(model, { kind: "choose", chosen });
      say(null);
    } catch (error) {
      say(error);
    }
  }

  async function rows(start) {
    const { turn } = state;
    const [told] = await ask(model, { kind: "rows", start });
    if (turn !== state.turn) return;
    if (start === 0) list.replaceChildren();
    heading.textContent = told.heading;
    Object.assign(state, { rows: start + told.rows.length, count: told.count });
    more.hidden = state.rows >= told.count;
    if (told.rows.length) {
      list.append(tableOf(told.names, told.rows, start ? `from ${fmt.count(start + 1)}` : ""));
    }
    list.setAttribute("data-wb-count", told.count);
    list.setAttribute("data-wb-chosen", JSON.stringify(model.get("chosen")));
  }

  function walk(right, up) {
    if (!state.told) return;
    const { x, y, cells } = state.told.density;
    const limits = [x.length - 2, y.length - 2];
    state.at = [right, up].map((by, axis) => clamp(state.at[axis] + by, 0, limits[axis]));
    const [i, j] = state.at;
    state.point(state.at);
    const found = cells.find((one) => one[0] === i && one[1] === j);
    status.textContent = `positive ${fmt.number(x[i])} to ${fmt.number(x[i + 1])}, candidate ` +
      `${fmt.number(y[j])} to ${fmt.number(y[j + 1])}: ${fmt.count(found ? found[2] : 0)} candidates`;
    root.setAttribute("data-wb-at", `${i} ${j}`);
  }

  function turnTo(place) {
    const names = state.told ? state.told.checkpoints : [];
    if (!names[place] || names[place] === model.get("checkpoint")) return;
    model.set("checkpoint", names[place]);
    model.save_changes();
  }

  const step = (by) => turnTo(state.told ? state.told.checkpoints.indexOf(model.get("checkpoint")) + by : -1);
  const here = () => choose({ x: state.at[0], y: state.at[1] });
  const unguard = guardKeys(root, {
    ArrowLeft: () => walk(-1, 0), ArrowRight: () => walk(1, 0), ArrowUp: () => walk(0, 1),
    ArrowDown: () => walk(0, -1), Enter: here, " ": here, p: flip, "?": help, Escape: () => choose({}),
    m: () => more.hidden || rows(state.rows).catch(say), "[": () => step(-1), "]": () => step(1),
  }, { repeat: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"] });
  const rechosen = () => {
    if (!state.told) return;
    draw();
    rows(0).catch(say);
  };
  model.on("change:checkpoint", load);
  model.on("change:chosen", rechosen);
  load();
  return () => {
    unguard();
    model.off("change:checkpoint", load);
    model.off("change:chosen", rechosen);
  };
}

export default { render };
