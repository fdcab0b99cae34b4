// The comparison board: a table to choose two runs from, and what stands between them.

function runsTable(choose, onActive) {
  const head = h("tr");
  const body = h("tbody");
  const root = h("table", { class: "wb-table wb-board-table" }, h("caption", { class: "wb-hidden", text: "runs" }), h("thead", {}, head), body);
  let table = { columns: [], rows: [] };
  let sorted = { key: null, up: false };
  let order = [];
  let lines = new Map();
  let active = null;
  let last = [];

  function value(row, key) {
    return key === "" ? row.run : row.cells[key];
  }

  function sort() {
    order = [...table.rows];
    if (sorted.key === null) return;
    const sign = sorted.up ? 1 : -1;
    order.sort((one, two) => {
      const [a, b] = [value(one, sorted.key), value(two, sorted.key)];
      if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1; // last
      if (b === null || b === undefined) return -1;
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      return sign * String(a).localeCompare(String(b), "en", { numeric: true });
    });
  }

  function heading(key, label, number) {
    const mine = sorted.key === key;
    const arrow = mine ? (sorted.up ? " ▲" : " ▼") : "";
    const cell = h("th", { scope: "col", class: number ? "wb-number" : "", "aria-sort": mine ? (sorted.up ? "ascending" : "descending") : "none" });
    cell.append(h("button", {
      class: "wb-board-sort", type: "button", "data-key": key, text: label + arrow,
      onclick: () => {
        sorted = { key, up: mine ? !sorted.up : !number };
        show();
        head.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
      },
    }));
    return cell;
  }

  function line(row) {
    const pick = (side, name) => h("button", {
      class: `wb-button wb-board-${name}`, type: "button", text: name.toUpperCase(),
      "aria-label": `${name.toUpperCase()}: ${row.run}`, "aria-pressed": "false", onclick: () => choose(side, row.run),
    });
    const buttons = row.choosable ? [pick(0, "a"), " ", pick(1, "b")] : [h("span", { class: "wb-soft", text: "–", title: "it kept no values per query" })];
    const name = h("td", {}, h("strong", { text: row.run }), row.problem ? h("div", { class: "wb-error", text: row.problem }) : null);
    const cells = table.columns.map((one) => h("td", { class: one.number ? "wb-number" : "", text: brief(row.cells[one.key]) }));
    return h("tr", { onclick: () => go(row.run) }, h("td", { class: "wb-board-pick" }, buttons), name, cells);
  }

  function show() {
    sort();
    head.replaceChildren(h("th", { scope: "col", text: "compare" }), heading("", "run", false), ...table.columns.map((one) => heading(one.key, one.label, one.number)));
    lines = new Map(order.map((row) => [row.run, line(row)]));
    body.replaceChildren(...lines.values());
    mark(last);
  }

  function mark(chosen) {
    last = chosen;
    for (const [run, row] of lines) {
      const sides = ["a", "b"].filter((_, n) => chosen[n] === run);
      row.setAttribute("class", [...sides.map((one) => `wb-board-${one}`), run === active ? "wb-board-active" : ""].join(" "));
      for (const side of ["a", "b"]) row.querySelector(`.wb-button.wb-board-${side}`)?.setAttribute("aria-pressed", String(sides.includes(side)));
    }
  }

  function go(run) {
    active = run;
    mark(last);
    onActive(run);
  }

  function move(by) {
    if (!order.length) return;
    const place = order.findIndex((row) => row.run === active);
    const next = order[Math.min(order.length - 1, Math.max(0, place < 0 ? 0 : place + by))];
    go(next.run);
    lines.get(next.run).scrollIntoView({ block: "nearest" });
  }

  return {
    root, mark, move, go,
    draw: (given) => { table = given; show(); },
    active: () => table.rows.find((row) => row.run === active),
  };
}

function topList(name, rows, why) {
  const root = h("div", {}, h("h4", { text: name }));
  if (rows === null) {
    root.append(h("p", { class: "wb-soft", text: why || "This run kept no lists: report.report(top=...) keeps them." }));
    return root;
  }
  if (!rows.length) root.append(h("p", { class: "wb-soft", text: "Its lists do not hold this query." }));
  root.append(h("ol", { class: "wb-board-list" }, rows.map((row) => {
    const labelled = row.label === "labelled";
    const moved = row.other === null ? "only here" : row.other === row.rank ? "same rank" : `${row.other} in the other`;
    return h(
      "li", { class: labelled ? "wb-board-labelled" : "" },
      h("div", { class: "wb-row" },
        h("strong", { text: `${row.rank}.` }), h("span", { text: row.doc }),
        row.label ? h("span", { class: labelled ? "wb-board-mark" : "wb-soft", text: (labelled ? "✓ " : "✗ ") + row.label }) : null,
        h("span", { class: "wb-soft", text: `${moved} · ${fmt.number(row.score)}` })),
      row.text === null ? null : h("p", { class: "wb-text wb-board-doc", text: row.text }),
    );
  })));
  return root;
}

function render({ model, el }) {
  let half = [null, null];
  const said = h("p", { class: "wb-soft wb-board-said", role: "status" });

  function choose(side, run) {
    const now = model.get("chosen");
    half = now.length ? [...now] : half;
    if (half[1 - side] === run) half[1 - side] = half[side];
    half[side] = run;
    if (half[0] === null || half[1] === null) {
      said.textContent = `${run} is ${side ? "B" : "A"}; choose the other.`;
      return;
    }
    said.textContent = `Comparing ${half[1]} with ${half[0]} ...`;
    model.set("chosen", [...half]);
    model.save_changes();
    runs.mark(half);
  }

  const lines = parallel((run) => runs.go(run));
  const runs = runsTable(choose, (run) => lines.mark(model.get("chosen"), run));
  const fall = waterfall((place) => {
    ask(model, { kind: "at", place }).catch((error) => { said.textContent = error.message; });
  });
  const same = h("p", { class: "wb-soft" });
  const title = h("h4");
  const words = h("p", { class: "wb-board-words" });
  const wrong = h("p", { class: "wb-error" });
  const worse = h("ul", { class: "wb-board-worse" });
  const worseTitle = h("h4");
  const query = h("p", { class: "wb-text wb-board-query" });
  const sides = h("div", { class: "wb-board-two wb-board-sides" });
  const missed = h("div");
  const between = h("div", { class: "wb-board-two" }, h("div", {}, fall.plot), h("div", {}, worseTitle, worse));

  function drawTable() {
    const table = model.get("table");
    runs.draw(table);
    lines.draw(table);
    same.textContent = table.same ? `The same in all: ${table.same}.` : "";
    drawChosen();
  }

  function drawChosen() {
    const chosen = model.get("chosen");
    if (chosen.length) half = [...chosen];
    runs.mark(chosen);
    lines.mark(chosen, runs.active()?.run);
  }

  function read(id) {
    model.set("query", id);
    model.save_changes();
  }

  function drawPair() {
    const pair = model.get("pair");
    const good = pair.metric !== undefined;
    wrong.textContent = pair.error || "";
    between.style.display = good ? "" : "none";
    title.textContent = pair.a === undefined ? "" : `B ${pair.b} against A ${pair.a}`;
    words.textContent = good ? pair.words : "";
    if (!pair.error && !good) words.textContent = "Choose two runs that kept their values per query: A, then B.";
    said.textContent = "";
    if (!good) return;
    fall.draw(pair);
    const more = pair.losses - pair.worse.length;
    worseTitle.textContent = `${fmt.count(pair.losses)} queries got worse${more > 0 ? `; the worst ${pair.worse.length}` : ""}`;
    worse.replaceChildren(...pair.worse.map((one) => h("li", {}, h(
      "button", { type: "button", "data-id": one.id, onclick: () => read(one.id) },
      h("span", { class: "wb-board-change", text: `${brief(one.a)} → ${brief(one.b)}` }), h("span", { text: one.text }),
    ))));
    drawQuery();
  }

  function drawQuery() {
    const id = model.get("query");
    for (const one of worse.querySelectorAll("button")) {
      const mine = one.dataset.id === id;
      one.setAttribute("aria-current", String(mine));
      if (mine) one.scrollIntoView({ block: "nearest" });
    }
  }

  function drawLists() {
    const lists = model.get("lists");
    const there = lists.query !== undefined;
    query.textContent = there ? `${lists.query}: ${lists.text ?? ""}` : "";
    sides.replaceChildren(...(there ? lists.sides.map((rows, n) => topList(`${n ? "B" : "A"} ${lists.runs[n]}`, rows, lists.problems[n])) : []));
    missed.replaceChildren(...(there && lists.missed.length ? [
      h("h4", { text: "Labelled, and in neither list" }),
      h("ul", { class: "wb-board-list" }, lists.missed.map((one) => h("li", { class: "wb-board-labelled" }, h("strong", { text: one.doc }), h("p", { class: "wb-text wb-board-doc", text: one.text ?? "" })))),
    ] : []));
  }

  function move(event, by) {
    if (!worse.contains(event.target)) return runs.move(by);
    const all = [...worse.querySelectorAll("button")];
    const place = all.findIndex((one) => one.dataset.id === model.get("query"));
    const next = all[Math.min(all.length - 1, Math.max(0, place + by))];
    if (!next) return undefined;
    next.focus();
    return read(next.dataset.id);
  }

  const pickActive = (side) => () => {
    const row = runs.active();
    if (row && row.choosable) choose(side, row.run);
    else said.textContent = row ? `${row.run} kept no values per query.` : "Move to a run first: j and k.";
  };
  const root = h(
    "div", { class: "wb-part wb-board", role: "group", "aria-label": "comparison board" },
    h("p", { class: "wb-soft" }, h("kbd", { class: "wb-key", text: "j" }), " ", h("kbd", { class: "wb-key", text: "k" }), " next or previous run or query · ", h("kbd", { class: "wb-key", text: "a" }), " ", h("kbd", { class: "wb-key", text: "b" }), " choose it as A or B · ", h("kbd", { class: "wb-key", text: "w" }), " go to what got worse"),
    h("div", { class: "wb-board-scroll", tabindex: 0, role: "region", "aria-label": "table of runs" }, runs.root), same, lines.plot,
    h("div", {}, title, said, wrong, words), between, query, sides, missed,
  );
  const toWorse = () => (worse.querySelector('[aria-current="true"]') || worse.querySelector("button"))?.focus();
  const free = guardKeys(root, {
    j: (event) => move(event, 1), k: (event) => move(event, -1), ArrowDown: (event) => move(event, 1), ArrowUp: (event) => move(event, -1),
    a: pickActive(0), b: pickActive(1), w: toWorse,
  }, { repeat: ["j", "k", "ArrowDown", "ArrowUp"] });
  const heard = { table: drawTable, chosen: drawChosen, pair: drawPair, query: drawQuery, lists: drawLists };
  for (const [name, fn] of Object.entries(heard)) model.on(`change:${name}`, fn);
  el.append(root);
  for (const fn of Object.values(heard)) fn();
  return () => {
    for (const [name, fn] of Object.entries(heard)) model.off(`change:${name}`, fn);
    free();
  };
}

export default { render };
