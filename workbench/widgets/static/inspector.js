// The inspector: the queue's state in the browser, keys, and what they send to Python in order.

const JUDGE = { f: "positive", n: "negative", u: "unsure", s: "skip" };
const SAYS = {
  positive: "false negative", negative: "true negative", unsure: "unsure", skip: "skip",
};
const HELP = [
  ["f", "false negative: the candidate answers the query"], ["n", "true negative"],
  ["u", "unsure"], ["s", "skip"], ["z", "undo the last step"],
  ["g", "judge all near-duplicates at once"], ["j, k", "next, previous"],
  ["PageDown, PageUp", "ten on, ten back"], ["Home, End", "first, last"],
  ["w", "mark shared words, differing words, nothing"], ["/", "search"], ["?", "this list"],
  ["Escape", "out of a field, close what is open"],
];
const AHEAD = 12;
const MARKS = ["shared", "differing", "none"];
const short = (text) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);

function render({ model, el }) {
  const about = model.get("about");
  const codes = Object.fromEntries(about.labels.map((label, at) => [label, at + 1]));
  const cards = new Map();
  const asking = new Set();
  const state = {
    items: new Int32Array(0), labels: new Int8Array(0), at: 0, drawn: -1, group: null, marks: 0,
    whole: 0, judged: 0, said: {},
  };

  const key = (name) => h("kbd", { class: "wb-key", text: name, "aria-hidden": "true" });
  const button = (name, text, act) =>
    h("button", { class: "wb-button", type: "button", "data-wb-key": name, onclick: act }, text + " ", key(name));
  const place = h("span", { class: "wb-number", "data-wb-position": "" });
  const progress = h("span", { "data-wb-judged": "" });
  const estimate = h("span", { "data-wb-estimate": "" });
  const bar = h("span", { class: "wb-bar", role: "img", "aria-label": "no estimate" });
  const alert = h("div", { class: "wb-error", role: "alert", "data-wb-error": "" });
  const status = h("div", { class: "wb-hidden", role: "status" });
  const left = h("div", { class: "wb-pane wb-left", role: "region", tabindex: 0, "aria-label": "Query and its positives" });
  const right = h("div", { class: "wb-pane wb-right", role: "region", tabindex: 0, "aria-label": "Candidate" });
  const facts = h("div", { class: "wb-facts", "data-wb-facts": "" });
  const group = h("div", { class: "wb-group", role: "group", "aria-label": "Near-duplicates", hidden: true });
  const help = h("dl", { class: "wb-help", hidden: true }, HELP.flatMap(([name, text]) =>
    [h("dt", {}, key(name)), h("dd", { text })]));

  const problem = (error) => { alert.textContent = error ? error.message : ""; };
  const list = longList({
    read: (items) => ask(model, { kind: "rows", items }).then(([answer]) => answer.rows),
    labelOf: (at) => state.labels[at], pick: (at) => { go(at); root.focus(); },
    labels: about.labels.map((label) => SAYS[label]), sortedBy: about.sorted_by,
    letters: about.labels.map((label) => Object.keys(JUDGE).find((name) => JUDGE[name] === label).toUpperCase()),
  });
  const rules = about.rules.length
    ? rulesPanel(about.slider, (value) => {
      if (value !== null) forgetCards();
      return ask(model, { kind: "slide", value }).then(([answer]) => answer.rows);
    })
    : null;

  const tellPosition = debounce(() => ask(model, { kind: "moved", position: state.at }).catch(problem), 80);
  const forgetCards = debounce(() => { cards.clear(); prefetch(); }, 300);
  const later = debounce(() => {
    ask(model, { kind: "estimate" }).then(([answer]) => count(answer.estimate)).catch(problem);
    if (rules) rules.refresh();
  }, 250);

  function count(found) {
    estimate.textContent = found.text;
    bar.hidden = found.rate === undefined;
    if (bar.hidden) return;
    bar.setAttribute("aria-label", found.text);
    bar.replaceChildren(
      h("span", { class: "wb-bar-range", style: `left:${100 * found.low}%;width:${100 * (found.high - found.low)}%` }),
      h("span", { class: "wb-bar-point", style: `left:${100 * found.rate}%` }));
  }

  function header() {
    const total = state.items.length;
    place.textContent = total ? `${fmt.count(state.at + 1)} of ${fmt.count(total)}` : "nothing passes the filters";
    place.dataset.wbPosition = state.at;
    const said = about.labels.map((label) => `${fmt.count(state.said[label] || 0)} ${SAYS[label]}`);
    progress.textContent = `${fmt.count(state.judged)} of ${fmt.count(state.whole)} judged by ${about.judge}: ${said.join(", ")}`;
    progress.dataset.wbJudged = state.judged;
  }

  function heard(answer) {
    if (answer.judged === undefined) return;
    Object.assign(state, { judged: answer.judged, said: answer.said, whole: answer.whole });
    narrowed.hidden = !answer.narrowed;
    header();
  }

  /** The first place behind `after` that is not judged, from the start again at the end. */
  function nextOpen(after) {
    for (const [from, to] of [[after + 1, state.labels.length], [0, after]]) {
      for (let at = Math.max(0, from); at < to; at++) if (!state.labels[at]) return at;
    }
    return after;
  }

  function wanted() {
    const found = [state.at];
    let open = state.at;
    for (let step = 0; step < AHEAD; step++) {
      open = nextOpen(open);
      found.push(open);
    }
    found.push(state.at + 1, state.at - 1, state.at + 2);
    const items = found.filter((at) => at >= 0 && at < state.items.length).map((at) => state.items[at]);
    return [...new Set(items)];
  }

  /** Ask for the cards that the next keys will show; all at once, before they are needed. */
  function prefetch() {
    const missing = wanted().filter((item) => !cards.has(item) && !asking.has(item));
    const urgent = missing.includes(state.items[state.at]);
    if (!missing.length || (!urgent && missing.length < AHEAD / 2 && asking.size)) return;
    missing.forEach((item) => asking.add(item));
    const some = urgent ? [missing.slice(0, 1), missing.slice(1)] : [missing];
    for (const items of some.filter((one) => one.length)) {
      ask(model, { kind: "cards", items }).then(([answer]) => {
        if (cards.size > 400) cards.clear();
        for (const card of answer.cards) cards.set(card.item, card);
        if (state.drawn !== state.items[state.at]) draw();
      }).catch(problem).finally(() => items.forEach((item) => asking.delete(item)));
    }
  }

  function texts(side, kind, title, mark) {
    const box = h("div", { class: `wb-side wb-side-${kind}` });
    const source = side.source ? ` · ${side.source}` : "";
    box.append(h("div", { class: "wb-row" }, h("strong", { text: title }), h("span", { class: "wb-soft", text: side.id + source })));
    const line = painted(side.pieces, mark);
    if (kind !== "query" && about.code) line.classList.add("wb-code");
    line.dataset.wbText = kind;
    box.append(line);
    if (side.shown < side.length) {
      const more = h("button", { class: "wb-button", type: "button", text: `Show all ${fmt.count(side.length)} characters`,
        onclick: async () => {
          const [answer] = await ask(model, { kind: "whole", side: kind === "query" ? "query" : "doc", place: side.place });
          box.replaceWith(texts(answer.side, kind, title, mark));
          root.focus();
        } });
      box.append(more);
    }
    return box;
  }

  function draw() {
    header();
    list.go(state.at);
    const item = state.items[state.at];
    const card = cards.get(item);
    if (!card) {
      state.drawn = -1;
      root.removeAttribute("data-wb-shown");
      const empty = h("p", { class: "wb-soft", text: state.items.length ? "Loading…" : "Nothing passes the filters." });
      left.replaceChildren(empty);
      right.replaceChildren();
      facts.replaceChildren();
      prefetch();
      return;
    }
    const mark = markers(card, MARKS[state.marks]);
    const more = card.positive_count - card.positives.length;
    left.replaceChildren(texts(card.query, "query", "Query", mark.query),
      ...card.positives.map((side) => texts(side, "positive", "Positive", mark.positive)),
      more > 0 ? h("p", { class: "wb-soft", text: `and ${fmt.count(more)} more positives` }) : "",
      card.positives.length ? "" : h("p", { class: "wb-soft", text: "No labelled positive." }));
    right.replaceChildren(texts(card.doc, "candidate", "Candidate", mark.doc));
    left.scrollTop = right.scrollTop = 0;
    const label = state.labels[state.at];
    const numbers = card.numbers.filter(([, value]) => value !== null);
    const shown = (some) => some.map(([name, value]) => h("span", { class: "wb-fact" },
      h("span", { class: "wb-soft", text: name.replaceAll("_", " ") + " " }), h("b", { text: name.endsWith("rank") ? fmt.count(value) : fmt.number(value) })));
    const plain = numbers.filter(([name]) => !name.includes("."));
    const others = numbers.filter(([name]) => name.includes("."));
    facts.replaceChildren(
      h("div", { class: "wb-row" },
        h("span", { class: `wb-said wb-said-${label}`, "data-wb-label": label ? about.labels[label - 1] : "",
          text: label ? `judged: ${SAYS[about.labels[label - 1]]}` : "not judged" }), shown(plain)),
      h("div", { class: "wb-row" },
        h("span", { "data-wb-drops": "", text: card.rules.length ? `dropped by ${card.rules.join(", ")}` : "no rule drops it" }),
        card.mate_count > 1 ? h("span", { text: `${card.mate_count - 1} near-duplicates: ${card.mates.map(short).join(", ")}` }) : ""),
      others.length ? h("details", {}, h("summary", { text: `${others.length} more signals` }), h("div", { class: "wb-row" }, shown(others))) : "");
    state.drawn = item;
    root.dataset.wbShown = item;
    prefetch();
  }

  function go(at, tell = true) {
    if (!state.items.length) return draw();
    state.at = Math.min(Math.max(at, 0), state.items.length - 1);
    if (tell) tellPosition();
    draw();
  }

  async function judge(label) {
    if (state.group !== null) return bulk(label);
    const at = state.at;
    const item = state.items[at];
    if (item === undefined || state.drawn !== item) return; // nobody judges what they do not see
    const before = state.labels[at];
    const items = state.items;
    problem(null);
    state.labels[at] = codes[label];
    const position = nextOpen(at);
    const sent = ask(model, { kind: "judge", item, label, position });
    status.textContent = `${SAYS[label]}.`;
    go(position, false);
    try {
      heard((await sent)[0]);
      later();
    } catch (error) {
      if (items === state.items) state.labels[at] = before;
      problem(error);
      draw();
    }
  }

  function relabel(items, labels) {
    items.forEach((item, step) => {
      const at = state.items.indexOf(item);
      if (at >= 0) state.labels[at] = labels[step];
    });
  }

  async function undo() {
    problem(null);
    try {
      const [answer] = await ask(model, { kind: "undo" });
      relabel(answer.items, answer.labels);
      heard(answer);
      const at = answer.items.length ? state.items.indexOf(answer.items[0]) : -1;
      status.textContent = answer.items.length ? `${answer.items.length} taken back.` : "Nothing to take back.";
      go(at >= 0 ? at : state.at);
      later();
    } catch (error) {
      problem(error);
    }
  }

  async function openGroup() {
    const item = state.items[state.at];
    if (item === undefined || state.drawn !== item) return;
    try {
      const [answer] = await ask(model, { kind: "mates", item });
      state.group = item;
      const many = answer.count;
      group.replaceChildren(
        h("span", { "data-wb-group": many, text: `Judge all ${fmt.count(many)} unjudged candidates of this query that say the same as` }),
        ...Object.entries(JUDGE).map(([name, label]) => button(name, SAYS[label], () => bulk(label))),
        button("Escape", "cancel", closeGroup));
      group.hidden = false;
      group.querySelector("button").focus();
    } catch (error) {
      problem(error);
    }
  }

  function closeGroup() {
    state.group = null;
    group.hidden = true;
    root.focus();
  }

  async function bulk(label) {
    const item = state.group;
    closeGroup();
    try {
      const [answer] = await ask(model, { kind: "bulk", item, label });
      relabel(answer.items, answer.items.map(() => codes[label]));
      heard(answer);
      status.textContent = `${answer.items.length} judged ${SAYS[label]}.`;
      go(nextOpen(state.at));
      later();
    } catch (error) {
      problem(error);
    }
  }

  async function reload() {
    const [answer, buffers] = await ask(model, { kind: "shown" });
    const bytes = buffers.map((one) => new Uint8Array(one.buffer, one.byteOffset, one.byteLength).slice());
    state.items = new Int32Array(bytes[0].buffer);
    state.labels = new Int8Array(bytes[1].buffer);
    state.at = Math.min(answer.position, Math.max(0, state.items.length - 1));
    heard(answer);
    if (rules) rules.set(answer.margin);
    list.show(state.items);
    root.dataset.wbCount = state.items.length;
    draw();
    later();
  }

  const { form, search, narrowed, everything, find } = filterForm(about, (chosen) => {
    problem(null);
    return ask(model, { kind: "filter", ...chosen }).catch(problem);
  });
  const buttons = h("div", { class: "wb-row wb-actions" },
    ...Object.entries(JUDGE).map(([name, label]) => button(name, SAYS[label], () => judge(label))),
    button("z", "undo", undo), button("g", "near-duplicates", openGroup),
    button("w", "words", () => mark()), button("?", "keys", () => { help.hidden = !help.hidden; }));
  const losses = about.losses ? dynamicsPanel(
    () => ask(model, { kind: "dynamics" }).then(([, buffers]) => buffers.map((one) =>
      new Float32Array(new Uint8Array(one.buffer, one.byteOffset, one.byteLength).slice().buffer))),
    (mean, spread) => ask(model, { kind: "brush", mean, spread }),
    everything) : null;
  const root = h("div", { class: "wb-part wb-inspect", role: "group", "aria-label": "False-negative inspector", "data-wb-inspector": "" },
    h("div", { class: "wb-row" }, place, search, progress),
    h("div", { class: "wb-row" }, bar, estimate, narrowed), alert, status,
    h("div", { class: "wb-desk" }, list.box, left, right),
    facts, buttons, group, help, form,
    rules ? h("details", { class: "wb-fold", open: true }, h("summary", { text: "Rules" }), rules) : null,
    losses, h("div", { class: "wb-soft wb-foot", text: about.store }));

  function mark() {
    state.marks = (state.marks + 1) % MARKS.length;
    status.textContent = `Marked: ${MARKS[state.marks]}.`;
    draw();
  }

  const free = guardKeys(root, {
    ...Object.fromEntries(Object.entries(JUDGE).map(([name, label]) => [name, () => judge(label)])),
    z: undo, g: openGroup, w: mark,
    j: () => go(state.at + 1), k: () => go(state.at - 1),
    PageDown: () => go(state.at + 10), PageUp: () => go(state.at - 10),
    Home: () => go(0), End: () => go(state.items.length - 1),
    "/": find, "?": () => { help.hidden = !help.hidden; },
    Escape: () => { help.hidden = true; closeGroup(); },
  }, { repeat: ["j", "k", "PageDown", "PageUp"] });

  const follow = () => {
    const told = model.get("told");
    cards.clear();
    if (told.again) reload().catch(problem);
    else {
      if (told.position !== state.at) go(told.position, false);
      if (rules) rules.set(told.margin);
    }
  };
  model.on("change:told", follow);
  el.append(root);
  reload().catch(problem);
  return () => {
    free();
    model.off("change:told", follow);
  };
}

export default { render };
