// The controls beside a map: search, go to an id, colours, labels, legend, and what one point is.
// Everything that the mouse does on the picture has a typed way here.

const GROUPS = {
  positive: ["━", "Labelled answers", "Queries it answers"],
  suspected: ["┅", "Suspected false negatives", "Queries that may want it"],
  negative: ["╌", "Hardest negatives", "Queries it is a negative of"],
};

function webgl() {
  try {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  } catch {
    return false;
  }
}

function isDark() {
  return document.body.dataset.jpThemeLight === "false";
}

/** What plotly tells, sent as messages: its widget keeps the last event only and may lose a lasso. */
function followPlotly(plot, model) {
  const tell = (message) => ask(model, message).catch(() => {});
  const place = (one) => one.pointNumber + (one.curveNumber === 0 ? model.get("asked") : 0);
  const dots = (event) => ((event && event.points) || []).filter((one) => one.curveNumber < 2);
  const over = throttle((point) => tell({ kind: "over", point }), 100);
  for (const name of ["selected", "deselect", "click", "hover", "unhover"]) {
    plot.removeAllListeners(`plotly_${name}`); // Python would undo what it chose itself
  }
  plot.on("plotly_selected", (event) => {
    if (!event || !(event.lassoPoints || event.range)) return; // told again when Python chooses
    setTimeout(() => { // an outline that stays would choose its points again at every change
      plot.layout.selections = [];
      tell({ kind: "lasso", points: dots(event).map(place) });
    }, 30);
  });
  plot.on("plotly_doubleclick", () => tell({ kind: "lasso", points: null }));
  plot.on("plotly_click", (event) => {
    const some = dots(event);
    if (some.length) tell({ kind: "show", point: place(some[0]) });
  });
  plot.on("plotly_hover", (event) => {
    const some = dots(event);
    if (some.length) over(place(some[0]));
  });
  plot.on("plotly_unhover", () => over(null));
}

/** The picture beside the controls: keys pressed on it stay in it, plotly is listened to. */
function joinPicture(el, model) {
  const wide = new ResizeObserver(debounce(() => window.dispatchEvent(new Event("resize")), 100));
  let undo = null;
  let seen = null;
  const timer = setInterval(() => {
    const box = el.closest(".wb-map")?.querySelector(".wb-map-picture");
    if (box && undo === null) {
      box.setAttribute("tabindex", "-1");
      undo = guardKeys(box, {});
      wide.observe(box); // plotly listens to the window only
    }
    const plot = box?.querySelector(".js-plotly-plot");
    if (plot && plot !== seen && plot._fullData?.length) {
      seen = plot;
      followPlotly(plot, model);
    }
  }, 200);
  return () => {
    clearInterval(timer);
    wide.disconnect();
    if (undo) undo();
  };
}

function field(label, attributes, ...more) {
  return h("label", { class: "wb-map-field" }, h("span", { text: label }), h("input", {
    class: "wb-input", autocomplete: "off", spellcheck: "false", ...attributes }), ...more);
}

function drawLegend(box, model, tell) {
  const rows = model.get("legend").map((one) => {
    const key = h("span", { class: "wb-map-key", "aria-hidden": "true" });
    key.style.backgroundColor = one.colour;
    return h("li", {}, h("button", {
      class: "wb-map-group", type: "button", title: "Select these points",
      onclick: () => tell({ kind: "group", code: one.code }) },
    key, h("span", { class: "wb-map-name", text: one.name }),
    h("span", { class: "wb-number wb-soft", text: fmt.count(one.count) })));
  });
  box.replaceChildren(...rows);
}

function drawDetail(box, detail, tell) {
  if (!detail || detail.id === undefined) {
    box.replaceChildren(h("p", { class: "wb-soft",
      text: "Click a point, or type its id: its text and what belongs to it stand here." }));
    return;
  }
  const asked = detail.kind === "query";
  const parts = [
    h("h4", { class: "wb-map-head", text: `${asked ? "◆ Query" : "● Document"} ${detail.id}` }),
    h("p", { class: "wb-text wb-map-text", tabindex: "0", text: detail.text || "(no text)" }),
  ];
  for (const [name, [mark, ofQuery, ofDoc]] of Object.entries(GROUPS)) {
    const some = detail.links[name] || [];
    if (!some.length) continue;
    parts.push(h("h5", { class: `wb-map-title wb-map-${name}` },
      h("span", { "aria-hidden": "true", text: `${mark} ` }),
      `${asked ? ofQuery : ofDoc} (${some.length})`));
    parts.push(h("ol", { class: "wb-map-links" }, ...some.map((one) => h("li", {}, h("button", {
      class: "wb-map-link", type: "button", onclick: () => tell({ kind: "show", point: one.point }) },
    h("span", { class: "wb-map-id", text: one.id }),
    h("span", { class: "wb-number wb-soft", text: fmt.number(one.score) }),
    h("span", { class: "wb-text wb-map-cut", text: one.text }))))));
  }
  box.replaceChildren(...parts);
}

function render({ model, el }) {
  const said = h("p", { class: "wb-map-said", role: "status" });
  const over = h("p", { class: "wb-soft wb-map-over", "aria-hidden": "true" });
  const legend = h("ul", { class: "wb-map-legend", "aria-label": "Colours" });
  const marks = h("p", { class: "wb-soft" });
  const detail = h("section", { class: "wb-map-detail", "aria-label": "The chosen point" });
  const tell = (message) => ask(model, message).then(
    () => { said.classList.remove("wb-error"); },
    (error) => { said.classList.add("wb-error"); said.textContent = error.message; });

  const search = field("Search texts", { type: "search", placeholder: "words as they stand", onkeydown: (event) => {
    if (event.key === "Enter") choose();
  } });
  const words = () => search.querySelector("input").value;
  const look = debounce(() => tell({ kind: "search", words: words() }), 250);
  search.querySelector("input").addEventListener("input", look);
  const choose = () => tell({ kind: "search", words: words() }).then(() => tell({ kind: "matches" }));
  const goto_ = field("Go to id", { type: "text", onkeydown: (event) => {
    if (event.key === "Enter") tell({ kind: "find", name: event.target.value });
  } });
  const clear = () => {
    search.querySelector("input").value = "";
    return tell({ kind: "clear" });
  };
  const colour = h("select", { class: "wb-input", "aria-label": "Colour by", onchange: () => {
    tell({ kind: "colour", name: colour.value });
  } });
  const count = field("Labels", { type: "number", min: "0", max: "60", onchange: (event) => {
    tell({ kind: "clusters", count: Number(event.target.value) });
  } });
  const press = (text, act, title) =>
    h("button", { class: "wb-button", type: "button", title, onclick: act, text });

  const root = h("div", { class: "wb-part wb-map-side", role: "group", "aria-label": "Map controls" },
    h("div", { class: "wb-row" }, search, press("Select matches", choose), press("Clear", clear)),
    h("div", { class: "wb-row" }, goto_),
    h("div", { class: "wb-row" }, h("label", { class: "wb-map-field" },
      h("span", { text: "Colour by" }), colour), count),
    said, over, marks, legend, detail,
    h("p", { class: "wb-soft wb-map-help" }, h("kbd", { class: "wb-key", text: "/" }), " search  ",
      h("kbd", { class: "wb-key", text: "g" }), " go to id  ",
      h("kbd", { class: "wb-key", text: "a" }), " select matches  ",
      h("kbd", { class: "wb-key", text: "x" }), " clear"));
  el.append(root);

  const draws = {
    status: () => { said.classList.remove("wb-error"); said.textContent = model.get("status"); },
    marks: () => { marks.textContent = model.get("marks"); },
    over: () => { over.textContent = model.get("over") || "\u00a0"; },
    legend: () => drawLegend(legend, model, tell),
    detail: () => drawDetail(detail, model.get("detail"), tell),
    choices: () => colour.replaceChildren(...model.get("choices").map((name) =>
      h("option", { value: name, text: name }))),
    colour: () => { colour.value = model.get("colour"); },
    clusters: () => { count.querySelector("input").value = model.get("clusters"); },
  };
  for (const [name, draw] of Object.entries(draws)) {
    draw();
    model.on(`change:${name}`, draw);
  }
  const into = (box) => () => box.querySelector("input").focus();
  const unguard = guardKeys(root, { "/": into(search), g: into(goto_), a: choose, x: clear });
  const leavePicture = joinPicture(el, model);
  const theme = () => tell({ kind: "page", webgl: webgl(), dark: isDark() });
  const watch = new MutationObserver(theme);
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  theme();
  return () => {
    unguard();
    leavePicture();
    watch.disconnect();
    for (const [name, draw] of Object.entries(draws)) model.off(`change:${name}`, draw);
  };
}

export default { render };
