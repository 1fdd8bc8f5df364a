// Computes the pixels that lie over the image: the colors of the mask, the doubt, what is alike.

import { IGNORED } from "./labels.js";

const LEAST_DOUBT = 12; // of 255; less is not shown
// The doubt is a hatch of black and white lines, since any one color may be that of a class.
const HATCH = [0x000000, 0x000000, 0xffffff, 0xffffff, null, null, null, null];

export class Layer {
  constructor() {
    this.palette = new Uint32Array(256);
    this.opacity = 0.5;
    this.isMaskHidden = false;
    this.clear();
  }

  #buffer = new ArrayBuffer(0);

  setColors(colors) {
    const view = new DataView(this.palette.buffer);
    colors.forEach(([r, g, b], i) => view.setUint32(4 * i, (r << 24) | (g << 16) | (b << 8) | 255));
    view.setUint32(4 * IGNORED, 0xffffffff);
  }

  // Forgets what belongs to one image.
  clear() {
    this.doubt = this.disagreement = this.alike = null;
    this.alikeLimit = 255;
  }

  // The pixels of a part of the canvas.
  //   rows, columns: the pixel of the mask for each row and column, and one more of each
  //   left, top: where the part begins; the lines of a hatch go on from one part to the next
  paint(labels, rows, columns, left, top) {
    const width = columns.length - 1, height = rows.length - 1, count = width * height;
    if (this.#buffer.byteLength < 4 * count) this.#buffer = new ArrayBuffer(4 * count);
    const pixels = new Uint32Array(this.#buffer, 0, count);
    this.#paintMask(labels, rows, columns, pixels);
    const { alike, alikeLimit, doubt, disagreement } = this;
    const cells = (map) => [
      rows.map((y) => Math.floor(((y + 0.5) * map.height) / labels.height) * map.width),
      columns.map((x) => Math.floor(((x + 0.5) * map.width) / labels.width)),
    ];
    if (doubt) {
      each(doubt, ...cells(doubt), pixels, (value, x, y) => {
        const color = HATCH[(left + x + top + y) % HATCH.length];
        return value > LEAST_DOUBT && color !== null && ((value << 24) | color);
      });
    }
    if (disagreement) outline(disagreement, 1, ...cells(disagreement), pixels, 0xffffffff);
    if (alike) {
      each(alike, ...cells(alike), pixels, (value) => value >= alikeLimit && 0xb000e5ff);
      outline(alike, alikeLimit, ...cells(alike), pixels, 0xff000000);
    }
    return new ImageData(new Uint8ClampedArray(this.#buffer, 0, 4 * count), width, height);
  }

  #paintMask({ data, width: stride }, rows, columns, pixels) {
    const alpha = Math.round(255 * this.opacity), width = columns.length - 1;
    if (this.isMaskHidden || !alpha) return pixels.fill(0);
    // Browsers run on little-endian machines, where alpha is the highest byte of a pixel. A black
    // class stays transparent, as in the overlays of semiseg: it is mostly the background.
    const colors = this.palette.map((color) => (color & 0x00ffffff ? (color & 0x00ffffff) | (alpha << 24) : 0));
    for (let y = 0, at = 0; y + 1 < rows.length; y++) {
      const row = rows[y] * stride;
      for (let x = 0; x < width; x++) pixels[at++] = colors[data[row + columns[x]]];
    }
  }
}

function each(map, starts, places, pixels, color) {
  const width = places.length - 1;
  for (let y = 0, at = 0; y + 1 < starts.length; y++) {
    for (let x = 0; x < width; x++, at++) {
      const value = color(map.data[starts[y] + places[x]], x, y);
      if (value !== false) pixels[at] = value;
    }
  }
}

function outline({ data }, limit, starts, places, pixels, color) {
  const width = places.length - 1;
  for (let y = 0, at = 0; y + 1 < starts.length; y++) {
    for (let x = 0; x < width; x++, at++) {
      const here = data[starts[y] + places[x]] >= limit;
      if (here !== data[starts[y] + places[x + 1]] >= limit
          || here !== data[starts[y + 1] + places[x]] >= limit) pixels[at] = color;
    }
  }
}
