// Parts of the inspector that know nothing of judging: marked texts, the long list, the rules'
// table with its slider, and the scatter of losses.

const WORD = /[\p{L}\p{N}]+/gu;

/** The words of a text worth marking, in lower case. */
function wordsOf(pieces) {
  const found = new Set();
  for (const [, text] of pieces) {
    for (const [word] of text.matchAll(WORD)) {
      if (word.length > 2 || /\p{Lo}/u.test(word)) found.add(word.toLowerCase());
    }
  }
  return found;
}

/** A text in spans: its kinds (a keyword, a string) and a mark for each word; text stays text. */
function painted(pieces, markOf) {
  const line = h("div", { class: "wb-text", dir: "auto" });
  for (const [kind, text] of pieces) {
    const home = kind ? h("span", { class: `wb-kind-${kind}` }) : line;
    let from = 0;
    for (const match of text.matchAll(WORD)) {
      const mark = markOf(match[0].toLowerCase());
      if (!mark) continue;
      if (match.index > from) home.append(text.slice(from, match.index));
      home.append(h("span", { class: `wb-mark wb-mark-${mark}`, text: match[0] }));
      from = match.index + match[0].length;
    }
    home.append(text.slice(from));
    if (kind) line.append(home);
  }
  return line;
}

/** What `painted` marks on each side; mode is "shared", "differing" or "none". */
function markers(card, mode) {
  const query = wordsOf(card.query.pieces);
  const doc = wordsOf(card.doc.pieces);
  const positive = new Set();
  for (const side of card.positives) for (const word of wordsOf(side.pieces)) positive.add(word);
  const nothing = () => null;
  if (mode === "none") return { query: nothing, positive: nothing, doc: nothing };
  if (mode === "shared") {
    return {
      query: (word) => (doc.has(word) ? "query" : null),
      positive: (word) => (doc.has(word) ? (query.has(word) ? "query" : "positive") : null),
      doc: (word) => (query.has(word) ? "query" : positive.has(word) ? "positive" : null),
    };
  }
  const rare = (word) => word.length > 2;
  return {
    query: (word) => (rare(word) && !doc.has(word) ? "differs" : null),
    positive: (word) => (rare(word) && !doc.has(word) ? "differs" : null),
    doc: (word) => (rare(word) && !query.has(word) && !positive.has(word) ? "differs" : null),
  };
}

const ROW = 26;
const TALLEST = 8_000_000; // pixels; browsers stop somewhat above
const PAGE = 50;

/**
 * A list of any length of which only the visible rows exist. `read(items)` resolves with
 * [query, candidate, number] of each; `labelOf(place)` gives 0..4; `pick(place)` is a click.
 */
function longList({ read, labelOf, pick, labels, letters, sortedBy }) {
  const space = h("div", { class: "wb-space", role: "presentation" });
  const box = h("div", {
    class: "wb-list", role: "listbox", tabindex: 0, "data-wb-list": "",
    "aria-label": "Queue: query, candidate and " + sortedBy,
  }, space);
  const heads = new Map();
  const asked = new Set();
  let items = new Int32Array(0);
  let here = 0;
  const tall = () => Math.min(items.length * ROW, TALLEST);
  const seen = () => Math.max(1, Math.ceil((box.clientHeight || 400) / ROW));
  const ratio = () => {
    const room = tall() - box.clientHeight;
    return room > 0 ? (items.length * ROW - box.clientHeight) / room : 1;
  };
  const want = debounce(() => {
    const first = Math.floor((box.scrollTop * ratio()) / ROW);
    const from = Math.max(0, Math.floor(first / PAGE) - 1);
    const to = Math.min(Math.floor((items.length - 1) / PAGE), Math.floor((first + seen()) / PAGE) + 1);
    for (let page = from; page <= to; page++) {
      const some = Array.from(items.subarray(page * PAGE, (page + 1) * PAGE));
      const missing = some.filter((item) => !heads.has(item) && !asked.has(item));
      if (!missing.length) continue;
      missing.forEach((item) => asked.add(item));
      read(missing).then((rows) => {
        if (heads.size > 20000) heads.clear();
        missing.forEach((item, at) => heads.set(item, rows[at]));
        draw();
      }).catch(() => {}).finally(() => missing.forEach((item) => asked.delete(item)));
    }
  }, 40);
  function row(place, top) {
    const item = items[place];
    const [query, doc, number] = heads.get(item) || ["…", "…", null];
    const label = labelOf(place);
    return h("div", {
      class: "wb-item", role: "option", id: `${box.id}-${place}`, style: `top:${top}px`,
      "aria-selected": place === here ? "true" : "false", "data-wb-place": place,
      "aria-posinset": place + 1, "aria-setsize": items.length, onclick: () => pick(place),
    },
      h("span", { class: `wb-said wb-said-${label}`, text: label ? letters[label - 1] : "·",
        title: label ? labels[label - 1] : "not judged" }),
      h("span", { class: "wb-number", text: number === null ? "–" : fmt.number(number, 2) }),
      h("span", { class: "wb-head", dir: "auto", text: query }),
      h("span", { class: "wb-head", dir: "auto", text: doc }));
  }
  function draw() {
    space.style.height = `${tall()}px`;
    const exact = (box.scrollTop * ratio()) / ROW;
    const first = Math.max(0, Math.floor(exact) - 5);
    const last = Math.min(items.length, Math.floor(exact) + seen() + 6);
    const rows = [];
    for (let place = first; place < last; place++) {
      rows.push(row(place, box.scrollTop + (place - exact) * ROW));
    }
    space.replaceChildren(...rows);
    box.setAttribute("aria-activedescendant", here >= first && here < last ? `${box.id}-${here}` : "");
    box.dataset.wbFirst = Math.floor(exact);
    want();
  }
  box.id = `wb-list-${Math.random().toString(36).slice(2)}`;
  box.addEventListener("scroll", () => requestAnimationFrame(draw));
  return {
    box,
    draw,
    show(list) {
      items = list;
      draw();
    },
    go(place) {
      here = place;
      const top = place * ROW;
      const now = box.scrollTop * ratio();
      if (top < now || top > now + box.clientHeight - ROW) {
        box.scrollTop = Math.max(0, top - box.clientHeight / 2) / ratio();
      }
      draw();
    },
  };
}

const within = (share, low, high) =>
  share === null ? "–" : `${fmt.share(share)} [${fmt.share(low)}, ${fmt.share(high)}]`;

/** What rules drop: a slider where one moves, and a table. `slide(value)` resolves with rows. */
function rulesPanel(moving, slide) {
  const body = h("tbody", {});
  const heads = ["rule", "drops", "of all", "only this", "precision", "recall"];
  const table = h("table", { class: "wb-table", "data-wb-rules": "" },
    h("caption", { class: "wb-soft", text: "What rules drop of all mined negatives; on judged ones, how many of those are false negatives (precision) and how many of the false negatives (recall), with 95 % intervals" }),
    h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col", text: name })))), body);
  const panel = h("section", { class: "wb-rules", "aria-label": "Rules" });
  const told = h("output", { class: "wb-number" });
  let newest = 0;
  async function refresh(value) {
    const mine = ++newest;
    let rows;
    try {
      rows = await slide(value);
    } catch (error) {
      told.textContent = error.message;
      return;
    }
    if (mine !== newest) return;
    body.replaceChildren(...rows.map((row) =>
      h("tr", { "data-wb-rule": row.rule, "data-wb-dropped": row.dropped },
        h("th", { scope: "row", text: row.rule }),
        h("td", { class: "wb-number", text: fmt.count(row.dropped) }),
        h("td", { class: "wb-number", text: fmt.share(row.share) }),
        h("td", { class: "wb-number", text: row.rule === "all together" ? "" : fmt.count(row.only_this) }),
        h("td", { class: "wb-number", text: within(row.precision, row.precision_low, row.precision_high) }),
        h("td", { class: "wb-number", text: within(row.recall, row.recall_low, row.recall_high) }))));
    if (value !== null) panel.dataset.wbCounted = String(value);
    panel.dataset.wbRefreshed = String(Number(panel.dataset.wbRefreshed || 0) + 1);
  }
  let range = null;
  const shown = (value) => { told.textContent = `${moving.option} ${Number(value.toPrecision(4))}`; };
  let touched = 0;
  if (moving) {
    const nearest = (value) => moving.values.reduce((best, one, at) =>
      Math.abs(one - value) < Math.abs(moving.values[best] - value) ? at : best, 0);
    const send = throttle((value) => refresh(value), 80);
    range = h("input", {
      type: "range", min: 0, max: moving.values.length - 1, step: 1, class: "wb-range",
      "aria-label": `${moving.option} of the rule that moves`, "data-wb-slider": "",
      oninput: () => {
        const value = moving.values[Number(range.value)];
        touched = performance.now();
        range.setAttribute("aria-valuetext", String(value));
        shown(value);
        send(value);
      },
    });
    range.value = nearest(moving.start);
    shown(moving.start);
    panel.append(h("div", { class: "wb-row" }, h("span", { text: moving.rule }), range, told));
    panel.set = (value) => {
      if (value === null || performance.now() - touched < 500) return;
      range.value = nearest(value);
      shown(value);
      refresh(null);
    };
  } else panel.set = () => refresh(null);
  panel.append(table);
  panel.refresh = () => refresh(null);
  return panel;
}

/** The scatter of training dynamics; `brush(mean, spread)` is told a rectangle in losses. */
function dynamicsPanel(load, brush, clear) {
  const canvas = h("canvas", { class: "wb-dynamics", width: 460, height: 240, role: "img",
    "aria-label": "Scatter: mean loss of each training pair across, its spread over epochs upwards. Use the four fields beside it to choose a rectangle." });
  const names = ["mean from", "mean to", "spread from", "spread to"];
  const fields = names.map((name) => h("input", { type: "number", step: "any", class: "wb-input",
    "aria-label": name, "data-wb-brush": name }));
  const told = h("span", { class: "wb-soft", role: "status" });
  let points = null;
  let box = null;
  let drag = null;
  const M = 34;
  const toX = (v) => M + ((v - box[0]) / (box[1] - box[0])) * (canvas.width - M - 8);
  const toY = (v) => canvas.height - M - ((v - box[2]) / (box[3] - box[2])) * (canvas.height - M - 8);
  const fromX = (x) => box[0] + ((x - M) / (canvas.width - M - 8)) * (box[1] - box[0]);
  const fromY = (y) => box[2] + ((canvas.height - M - y) / (canvas.height - M - 8)) * (box[3] - box[2]);
  function draw() {
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (!points || !points[0].length) return;
    pen.fillStyle = colours[0];
    pen.globalAlpha = points[0].length > 5000 ? 0.35 : 0.7;
    for (let at = 0; at < points[0].length; at++) {
      pen.fillRect(toX(points[0][at]) - 1, toY(points[1][at]) - 1, 3, 3);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = pen.strokeStyle = style.color;
    pen.font = "11px system-ui, sans-serif";
    pen.fillText("mean loss " + fmt.number(box[0], 2) + " to " + fmt.number(box[1], 2), M, canvas.height - 8);
    pen.save();
    pen.translate(12, canvas.height - M);
    pen.rotate(-Math.PI / 2);
    pen.fillText("spread " + fmt.number(box[2], 2) + " to " + fmt.number(box[3], 2), 0, 0);
    pen.restore();
    if (drag) {
      pen.setLineDash([4, 3]);
      pen.strokeRect(drag[0], drag[1], drag[2] - drag[0], drag[3] - drag[1]);
      pen.setLineDash([]);
    }
  }
  const at = (event) => {
    const rect = canvas.getBoundingClientRect();
    const scale = canvas.width / rect.width;
    return [(event.clientX - rect.left) * scale, (event.clientY - rect.top) * scale];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!box) return;
    canvas.setPointerCapture(event.pointerId);
    drag = [...at(event), ...at(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || !event.buttons) return;
    [drag[2], drag[3]] = at(event);
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (!drag) return;
    const xs = [fromX(drag[0]), fromX(drag[2])].sort((a, b) => a - b);
    const ys = [fromY(drag[1]), fromY(drag[3])].sort((a, b) => a - b);
    [...xs, ...ys].forEach((value, place) => { fields[place].value = value.toPrecision(4); });
    show();
  });
  async function show() {
    const values = fields.map((field, place) => (field.value === "" && box ? box[place] : Number(field.value)));
    try {
      await brush([values[0], values[1]], [values[2], values[3]]);
      told.textContent = "The queue shows queries with a pair in the rectangle.";
    } catch (error) {
      told.textContent = error.message;
    }
  }
  const panel = h("details", { class: "wb-fold" }, h("summary", { text: "Training dynamics" }),
    h("div", { class: "wb-row" }, canvas, h("div", { class: "wb-stack" },
      fields.map((field, place) => h("label", { class: "wb-soft" }, names[place] + " ", field)),
      h("div", { class: "wb-row" },
        h("button", { class: "wb-button", type: "button", text: "Show these", onclick: show }),
        h("button", { class: "wb-button", type: "button", text: "Show all", onclick: () => {
          drag = null;
          told.textContent = "";
          draw();
          clear();
        } })), told)));
  panel.addEventListener("toggle", async () => {
    if (!panel.open || points) return;
    points = await load();
    const ends = (list) => {
      let low = Infinity;
      let high = -Infinity;
      for (const value of list) { low = Math.min(low, value); high = Math.max(high, value); }
      return high > low ? [low, high] : [low - 0.5, low + 0.5];
    };
    box = points[0].length ? [...ends(points[0]), ...ends(points[1])] : null;
    told.textContent = points[0].length ? `${fmt.count(points[0].length)} training pairs` : "No losses yet.";
    canvas.dataset.wbPoints = points[0].length;
    draw();
  });
  return panel;
}
