// Draws the image with its mask. Only the visible part is computed, at the resolution of the screen,
// so that the cost of a frame does not grow with the image.

import { IGNORED } from "./labels.js";

const MIN_LEVEL = 1024; // pixels: the longest side of the smallest copy of an image
const MAX_SCALE = 40;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = document.createElement("canvas");
    this.levels = [];
    this.labels = null;
    this.palette = new Uint32Array(256);
    this.opacity = 0.5;
    this.isMaskHidden = false;
    this.doubt = this.disagreement = this.alike = null;
    this.alikeLimit = 255;
    this.polygon = [];
    this.cursor = null;
    this.radius = 10;
    this.scale = 1; // pixels of the canvas for one of the image
    this.left = this.top = 0; // of the image, in pixels of the canvas
    this.#scheduled = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  #scheduled;

  setColors(colors) {
    const view = new DataView(this.palette.buffer);
    colors.forEach(([r, g, b], i) => view.setUint32(4 * i, (r << 24) | (g << 16) | (b << 8) | 255));
    view.setUint32(4 * IGNORED, 0xffffffff);
  }

  // Shows another image: the bitmap and its smaller copies, for a view from afar.
  async setImage(bitmap, labels) {
    this.levels.forEach((level) => level.close());
    this.levels = [bitmap];
    while (Math.max(this.levels.at(-1).width, this.levels.at(-1).height) > MIN_LEVEL) {
      const last = this.levels.at(-1);
      this.levels.push(await createImageBitmap(last, {
        resizeWidth: Math.ceil(last.width / 2), resizeHeight: Math.ceil(last.height / 2),
        resizeQuality: "medium",
      }));
    }
    this.labels = labels;
    this.doubt = this.disagreement = this.alike = null;
    this.polygon = [];
    this.cursor = [labels.width / 2, labels.height / 2];
    this.fit();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * ratio));
    const height = Math.max(1, Math.round(box.height * ratio));
    if (width === this.canvas.width && height === this.canvas.height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    if (this.labels) this.fit();
  }

  fit() {
    const { width, height } = this.canvas;
    this.scale = Math.min(width / this.labels.width, height / this.labels.height);
    this.center(this.labels.width / 2, this.labels.height / 2);
  }

  center(x, y) {
    this.left = this.canvas.width / 2 - x * this.scale;
    this.top = this.canvas.height / 2 - y * this.scale;
    this.draw();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.draw();
  }

  // Zooms about a point of the canvas, by default its center.
  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const smallest = Math.min(1, this.canvas.width / this.labels.width / 2);
    const scale = Math.min(MAX_SCALE, Math.max(smallest, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  // A point of the page as a point of the image, in pixels of the image.
  toImage(clientX, clientY) {
    const [x, y] = this.toCanvas(clientX, clientY);
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  toCanvas(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect(), ratio = this.canvas.width / box.width;
    return [(clientX - box.left) * ratio, (clientY - box.top) * ratio];
  }

  draw() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      if (this.labels) this.#paint();
    });
  }

  #paint() {
    const { context, canvas, labels, scale } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const width = labels.width * scale;
    const level = this.levels.findLast((one) => one.width >= width) ?? this.levels[0];
    context.imageSmoothingEnabled = scale < 2;
    context.drawImage(level, this.left, this.top, width, labels.height * scale);
    this.#paintLayer();
    this.#paintPolygon();
    this.#paintCursor();
  }

  #paintLayer() {
    const { canvas, labels, scale } = this;
    const x0 = Math.max(0, Math.floor(this.left)), y0 = Math.max(0, Math.floor(this.top));
    const x1 = Math.min(canvas.width, Math.ceil(this.left + labels.width * scale));
    const y1 = Math.min(canvas.height, Math.ceil(this.top + labels.height * scale));
    const width = x1 - x0, height = y1 - y0;
    if (width <= 0 || height <= 0) return;
    const columns = this.#places(width, x0 - this.left, labels.width);
    const rows = this.#places(height, y0 - this.top, labels.height);
    const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const alpha = Math.round(255 * this.opacity);
    // Browsers run on little-endian machines, where alpha is the highest byte of a pixel. A black
    // class stays transparent, as in the overlays of semiseg: it is mostly the background.
    if (!this.isMaskHidden && alpha) {
      const colors = this.palette.map((color) => (color & 0x00ffffff ? (color & 0x00ffffff) | (alpha << 24) : 0));
      for (let y = 0, at = 0; y < height; y++) {
        const row = rows[y] * labels.width;
        for (let x = 0; x < width; x++) pixels[at++] = colors[labels.data[row + columns[x]]];
      }
    }
    const { alike, alikeLimit, doubt, disagreement } = this;
    if (doubt) this.#each(doubt, rows, columns, pixels, (value) => value > 12 && ((value << 24) | 0x2828e0));
    if (disagreement) this.#outline(disagreement, 1, rows, columns, pixels, 0xffffffff);
    if (alike) {
      this.#each(alike, rows, columns, pixels, (value) => value >= alikeLimit && 0xb000e5ff);
      this.#outline(alike, alikeLimit, rows, columns, pixels, 0xff000000);
    }
    this.layer.width = width;
    this.layer.height = height;
    this.layer.getContext("2d").putImageData(image, 0, 0);
    this.context.drawImage(this.layer, x0, y0);
  }

  // The pixel of the image for each of so many pixels of the canvas.
  #places(count, offset, limit) {
    return Int32Array.from({ length: count }, (_, i) =>
      Math.min(limit - 1, Math.max(0, Math.floor((offset + i + 0.5) / this.scale))));
  }

  #cells(map, rows, columns) {
    const { labels } = this;
    return [
      rows.map((y) => Math.floor(((y + 0.5) * map.height) / labels.height) * map.width),
      columns.map((x) => Math.floor(((x + 0.5) * map.width) / labels.width)),
    ];
  }

  #each(map, rows, columns, pixels, color) {
    const [starts, places] = this.#cells(map, rows, columns);
    let at = 0;
    for (const start of starts) {
      for (const place of places) {
        const value = color(map.data[start + place]);
        if (value !== false) pixels[at] = value;
        at++;
      }
    }
  }

  #outline(map, limit, rows, columns, pixels, color) {
    const [starts, places] = this.#cells(map, rows, columns);
    const width = places.length;
    for (let y = 0; y + 1 < starts.length; y++) {
      for (let x = 0; x + 1 < width; x++) {
        const here = map.data[starts[y] + places[x]] >= limit;
        if (here !== map.data[starts[y] + places[x + 1]] >= limit
            || here !== map.data[starts[y + 1] + places[x]] >= limit) pixels[y * width + x] = color;
      }
    }
  }

  #paintPolygon() {
    if (!this.polygon.length) return;
    const { context } = this;
    context.beginPath();
    for (const [x, y] of this.polygon) context.lineTo(this.left + x * this.scale, this.top + y * this.scale);
    if (this.cursor) context.lineTo(this.left + this.cursor[0] * this.scale, this.top + this.cursor[1] * this.scale);
    this.#line();
  }

  #paintCursor() {
    if (!this.cursor) return;
    const { context } = this;
    const x = this.left + this.cursor[0] * this.scale, y = this.top + this.cursor[1] * this.scale;
    context.beginPath();
    context.arc(x, y, Math.max(2, this.radius * this.scale), 0, 2 * Math.PI);
    context.moveTo(x - 6, y);
    context.lineTo(x + 6, y);
    context.moveTo(x, y - 6);
    context.lineTo(x, y + 6);
    this.#line();
  }

  #line() {
    const { context } = this;
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.stroke();
    context.lineWidth = 1;
    context.strokeStyle = "#fff";
    context.stroke();
  }
}
