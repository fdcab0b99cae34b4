// The inspector's filters: what to show, in which order. `apply(chosen)` sends all of them at once.

function filterForm(about, apply) {
  const choice = (name, label, options, first) => {
    const select = h("select", { class: "wb-input", "data-wb-filter": name, onchange: () => send() },
      first === null ? null : h("option", { value: "", text: first }),
      options.map((one) => h("option", { value: one, text: one })));
    return [select, h("label", {}, `${label} `, select)];
  };
  const bound = (name, label) => {
    const field = h("input", { type: "number", step: "any", class: "wb-input wb-narrow", "data-wb-filter": name,
      onchange: () => send() });
    return [field, h("label", {}, `${label} `, field)];
  };
  const parts = {
    order: choice("order", "order", about.orders, null),
    verdict: choice("verdict", "judged", about.states, "any"),
    source: choice("source", "source", about.sources, "any"),
    by: choice("by", "number", about.numbers, "none"),
    low: bound("low", "from"),
    high: bound("high", "to"),
    rule: choice("rule", "rule", about.rules, "any"),
    judge: choice("judge", "judge", about.judges, "anyone"),
  };
  parts.order[0].value = about.order;
  const text = h("input", { type: "search", class: "wb-input", "data-wb-filter": "text", placeholder: "search texts",
    "aria-label": "Search in queries and candidates", onsearch: () => send(),
    onkeydown: (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      send();
      text.closest(".wb-inspect").focus();
    } });

  function send(everything = false) {
    const chosen = { text: text.value, everything };
    for (const [name, [field]] of Object.entries(parts)) {
      if (field.value === "") chosen[name] = null;
      else chosen[name] = field.type === "number" ? Number(field.value) : field.value;
    }
    if (chosen.by === null) chosen.low = chosen.high = null;
    return apply(chosen);
  }

  function everything() {
    for (const [name, [field]] of Object.entries(parts)) if (name !== "order") field.value = "";
    text.value = "";
    return send(true);
  }

  const all = (label) => h("button", { class: "wb-button", type: "button", text: label, "data-wb-everything": "",
    onclick: everything });
  const narrowed = h("span", { hidden: true, "data-wb-narrowed": "" }, "Only some queries or candidates are shown. ", all("Show all"));
  const form = h("details", { class: "wb-fold", "data-wb-filters": "" }, h("summary", { text: "Filters" }),
    h("div", { class: "wb-row" }, Object.values(parts).map(([, label]) => label), all("Clear")));
  return { form, search: text, narrowed, everything, find: () => text.focus() };
}
