// The comparison board's two pictures: parallel coordinates, and gains and losses by query.

function floats(view) {
  if (!view) return new Float32Array(0);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function brief(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return fmt.count(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.0001 || size >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

/** Where a value lies on an axis, 0 at its foot and 1 at its head; words stand in their order. */
function scale(values) {
  const there = values.filter((one) => one !== null && one !== undefined);
  if (there.every((one) => typeof one === "number")) {
    const low = Math.min(...there);
    const high = Math.max(...there);
    const place = (value) => (high > low ? (value - low) / (high - low) : 0.5);
    return { place, ticks: high > low ? [low, high] : [low] };
  }
  const words = [...new Set(there.map(String))].sort();
  const place = (value) => (words.length > 1 ? words.indexOf(String(value)) / (words.length - 1) : 0.5);
  return { place, ticks: words };
}

/** One line per run over the parameters and metrics in which the runs differ. */
function parallel(onPick) {
  const [wide, high, top, foot, side] = [760, 190, 30, 18, 60];
  const plot = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", class: "wb-board-parallel" });
  let paths = new Map();

  function draw(table) {
    const rows = table.rows.filter((row) => row.cells.status === "ok");
    const axes = table.columns.filter((one) => {
      const found = new Set(rows.map((row) => row.cells[one.key]).filter((value) => value !== null));
      return one.axis && found.size > 1;
    });
    plot.style.display = axes.length > 1 && rows.length > 1 ? "" : "none";
    const at = (n) => side + (n * (wide - 2 * side)) / Math.max(1, axes.length - 1);
    const height = (share) => high - foot - share * (high - foot - top);
    const scales = axes.map((one) => scale(rows.map((row) => row.cells[one.key])));
    const parts = axes.flatMap((one, n) => [
      svg("line", { class: "wb-board-axis", x1: at(n), x2: at(n), y1: top, y2: high - foot }),
      svg("text", { x: at(n), y: 12, "text-anchor": "middle", text: one.label.slice(0, 24) }),
      ...scales[n].ticks.slice(0, 8).map((value) => svg("text", {
        x: at(n) + 4, y: height(scales[n].place(value)) + 3, text: brief(value).slice(0, 18),
      })),
    ]);
    paths = new Map(rows.map((row) => {
      let text = "";
      let pen = "M";
      axes.forEach((one, n) => {
        const value = row.cells[one.key];
        if (value === null || value === undefined) pen = "M";
        else {
          text += `${pen}${at(n)} ${height(scales[n].place(value)).toFixed(1)}`;
          pen = "L";
        }
      });
      const path = svg("path", { class: "wb-board-run", d: text, onclick: () => onPick(row.run) }, svg("title", { text: row.run }));
      return [row.run, path];
    }));
    plot.replaceChildren(...paths.values(), ...parts);
    plot.setAttribute("aria-label", `${rows.length} runs over ${axes.map((one) => one.label).join(", ")}`);
  }

  function mark(chosen, active) {
    for (const [run, path] of paths) {
      const names = ["wb-board-run"];
      if (run === active) names.push("wb-board-active");
      if (run === chosen[0]) names.push("wb-board-a");
      if (run === chosen[1]) names.push("wb-board-b");
      path.setAttribute("class", names.join(" "));
      if (names.length > 1) path.parentNode.append(path);
    }
  }
  return { plot, draw, mark };
}

/** The difference of every query, the most lost first, with the mean and its interval. */
function waterfall(onPlace) {
  const [wide, high, left, right, top, foot] = [520, 200, 44, 8, 8, 22];
  const plot = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", class: "wb-board-curve" });
  let count = 0;
  plot.addEventListener("click", (event) => {
    const box = plot.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * wide - left) / (wide - left - right);
    if (count > 0 && share >= 0 && share <= 1) onPlace(Math.min(count - 1, Math.floor(share * count)));
  });

  function area(x, y, keep, px, py) {
    let text = "";
    let open = false;
    for (let n = 0; n < x.length; n += 1) {
      const end = n + 1 < x.length ? x[n + 1] : count;
      if (!keep(y[n])) {
        if (open) text += `L${px(x[n])} ${py(0)}Z`;
        open = false;
      } else {
        if (!open) text += `M${px(x[n])} ${py(0)}`;
        open = true;
        text += `L${px(x[n])} ${py(y[n]).toFixed(1)}L${px(end)} ${py(y[n]).toFixed(1)}`;
      }
    }
    return open ? `${text}L${px(count)} ${py(0)}Z` : text;
  }

  function draw(pair) {
    const x = floats(pair.x);
    const y = floats(pair.y);
    count = pair.queries || 0;
    const most = Math.max(1e-9, ...y.map(Math.abs), Math.abs(pair.low), Math.abs(pair.high));
    const px = (n) => (left + (n / Math.max(1, count)) * (wide - left - right)).toFixed(1);
    const py = (value) => top + (1 - (value + most) / (2 * most)) * (high - top - foot);
    const label = (given, text) => svg("text", { ...given, text });
    plot.replaceChildren(
      svg("rect", { class: "wb-board-interval", x: left, width: wide - left - right, y: py(pair.high), height: Math.max(1, py(pair.low) - py(pair.high)) }),
      svg("path", { class: "wb-board-worse-area", d: area(x, y, (value) => value < 0, px, py) }),
      svg("path", { class: "wb-board-better-area", d: area(x, y, (value) => value > 0, px, py) }),
      svg("line", { class: "wb-board-axis", x1: left, x2: wide - right, y1: py(0), y2: py(0) }),
      svg("line", { class: "wb-board-mean", x1: left, x2: wide - right, y1: py(pair.mean), y2: py(pair.mean) }),
      ...[-most, 0, most].map((value) => label({ x: left - 4, y: py(value) + 3, "text-anchor": "end" }, brief(Number(value.toPrecision(2))))),
      label({ x: left + 4, y: py(pair.high) - 3 }, `mean ${brief(Number(pair.mean.toPrecision(2)))}, interval at ${Math.round(100 * pair.confidence)} %`),
      label({ x: left, y: high - 6 }, `${fmt.count(pair.losses)} worse`),
      label({ x: (left + wide - right) / 2, y: high - 6, "text-anchor": "middle" }, `${fmt.count(pair.ties)} equal`),
      label({ x: wide - right, y: high - 6, "text-anchor": "end" }, `${fmt.count(pair.wins)} better`),
    );
    plot.setAttribute("aria-label", pair.words || "");
  }
  return { plot, draw };
}
