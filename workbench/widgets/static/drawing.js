// What pictures share: letters and colours of reasons, a ramp of shades, ticks, tables.

const RAMP = [[0, 32, 77], [65, 77, 107], [124, 123, 120], [188, 174, 108], [255, 234, 70]];
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

const letterOf = (code) => (code === 0 ? "" : LETTERS[code - 1] || String(code));
const LOUD = colours.length - 1; // all but grey, which is for what is kept
const colourOf = (code) => colours[(code - 1) % LOUD];
const inkOf = (code) => ((code - 1) % LOUD === 0 ? "#ffffff" : "#000000");
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function ramp(t) {
  const place = clamp(t, 0, 1) * (RAMP.length - 1);
  const first = Math.min(RAMP.length - 2, Math.floor(place));
  return RAMP[first].map((value, i) => value + (place - first) * (RAMP[first + 1][i] - value));
}

/** Some six round numbers from low to high. */
function ticks(low, high) {
  const rough = (high - low) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + 1e-9 * step; at += 1) found.push(at * step);
  return found;
}

/** The letter of a reason on its colour. */
function chipOf(code) {
  const chip = h("span", { class: "wb-chip", text: letterOf(code) });
  chip.style.background = colourOf(code);
  chip.style.color = inkOf(code);
  return chip;
}

/** A table; strings are shown as they are. */
function tableOf(names, rows, caption) {
  return h("table", { class: "wb-table wb-drawn" },
    h("caption", { text: caption }),
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col", text: name })))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) =>
      cell instanceof Node ? h("td", {}, cell)
        : h("td", { class: cell.length > 20 ? "wb-text" : "wb-short", text: cell }))))));
}
