// How a batch's cells are painted: letters of reasons, borders of blocks, the cursor.

const SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
const MOST_LETTERS = 40000;

/** Last tile that begins at or before a cell. */
function tileOf(starts, cell) {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= cell) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Pixels as the bytes of an image lie in memory. */
const pixel = ([r, g, b]) => new Uint32Array(new Uint8ClampedArray([r, g, b, 255]).buffer)[0];
const shades = (colour) => Uint32Array.from({ length: 256 }, (_, i) => pixel(colour(i / 255)));

/** One pixel per tile, as the mode wants it. */
function paint({ meta, layers, mode, only }) {
  const [rows, columns] = meta.tiles;
  const board = document.createElement("canvas");
  board.width = columns;
  board.height = rows;
  const context = board.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const { numbers, low, high } = layers.get(mode === "reason" ? "score" : mode);
  const codes = mode === "reason" ? layers.get("reason").numbers : null;
  const dropped = meta.reasons.map((_, code) => pixel(rgb(colourOf(code || 1))));
  const [dark, wide] = only === null ? [60, 180] : [30, 60];
  const greys = shades((t) => [1, 1, 1].map(() => dark + wide * t));
  const colouring = codes === null ? shades(ramp) : greys;
  const span = high > low ? high - low : 1;
  for (let at = 0; at < numbers.length; at += 1) {
    const code = codes === null ? 0 : codes[at];
    if (code && (only === null || only === code)) pixels[at] = dropped[code];
    else {
      const t = clamp((numbers[at] - low) / span || 0, 0, 1);
      pixels[at] = colouring[Math.round(255 * (mode === "share" ? Math.sqrt(t) : t))];
    }
  }
  context.putImageData(image, 0, 0);
  return board;
}

function letters(context, state) {
  const { meta, layers, size, only } = state;
  const [rows, columns] = meta.tiles;
  if (state.mode !== "reason" || size < 12 || rows * columns > MOST_LETTERS) return;
  const { numbers } = layers.get("reason");
  context.font = `bold ${Math.round(0.7 * size)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let at = 0; at < numbers.length; at += 1) {
    if (!numbers[at] || (only !== null && only !== numbers[at])) continue;
    context.fillStyle = inkOf(numbers[at]);
    const x = (at % columns) + 0.5;
    const y = Math.floor(at / columns) + 0.5;
    context.fillText(letterOf(numbers[at]), x * size, y * size);
  }
}

function borders(context, state) {
  const height = context.canvas.height;
  for (const block of state.meta.blocks.slice(1)) {
    const x = block.first * state.size;
    context.fillStyle = "#ffffff";
    context.fillRect(x - 1, 0, 2, height);
    context.fillStyle = "#000000";
    context.fillRect(x, 0, 1, height);
  }
}

function frame(context, [row, column], size, dashed) {
  const side = Math.max(size, 5);
  const x = column * size + size / 2 - side / 2;
  const y = row * size + size / 2 - side / 2;
  context.setLineDash(dashed ? [3, 3] : []);
  for (const [colour, width] of [["#000000", 4], ["#ffffff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(x - 1, y - 1, side + 2, side + 2);
  }
}
