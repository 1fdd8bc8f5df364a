// Draws the image with its mask, at the resolution of the screen: the cost of a frame does not grow
// with the image. What has not changed is kept: the picture and the layer over it are canvases of
// the size of the screen, and a stroke computes its own pixels anew and no others.

import { Layer } from "./layer.js";

const MIN_LEVEL = 1024; // pixels: the longest side of the smallest copy of an image
const MAX_SCALE = 40;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = new Layer();
    this.levels = [];
    this.labels = null;
    this.polygon = [];
    this.points = []; // [x, y, whether it is wanted], in pixels of the image
    this.cursor = null;
    this.radius = 10;
    this.filter = "none"; // of the picture, as in CSS
    this.scale = 1; // pixels of the canvas for one of the image
    this.left = this.top = 0; // of the image, in pixels of the canvas
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  #picture = document.createElement("canvas").getContext("2d");
  #over = document.createElement("canvas").getContext("2d");
  #isScheduled = false;
  #isMoved = false; // the picture lies elsewhere or looks different
  #stale = null; // the box of the mask whose pixels on the screen are old
  #marks = null; // where the last frame drew the cursor, the corners and the points

  // Shows another image: the bitmap and its smaller copies, for a view from afar.
  async setImage(bitmap, labels) {
    await this.setPicture(bitmap);
    this.labels = labels;
    this.layer.clear();
    this.polygon = [];
    this.points = [];
    this.cursor = [labels.width / 2, labels.height / 2];
    this.fit();
  }

  // Shows another picture of the same image.
  async setPicture(bitmap) {
    const levels = [bitmap];
    while (Math.max(levels.at(-1).width, levels.at(-1).height) > MIN_LEVEL) {
      const last = levels.at(-1);
      levels.push(await createImageBitmap(last, {
        resizeWidth: Math.ceil(last.width / 2), resizeHeight: Math.ceil(last.height / 2),
        resizeQuality: "medium",
      }));
    }
    this.levels.forEach((level) => level.close());
    this.levels = levels;
    this.drawAll();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * ratio));
    const height = Math.max(1, Math.round(box.height * ratio));
    if (width === this.canvas.width && height === this.canvas.height) return;
    for (const { canvas } of [this.context, this.#picture, this.#over]) {
      canvas.width = width;
      canvas.height = height;
    }
    if (this.labels) this.fit();
  }

  // The scale at which the whole image is visible.
  get #fitting() {
    return Math.min(this.canvas.width / this.labels.width, this.canvas.height / this.labels.height);
  }

  fit() {
    if (!this.labels) return;
    this.scale = this.#fitting;
    this.center(this.labels.width / 2, this.labels.height / 2);
  }

  center(x, y) {
    this.left = this.canvas.width / 2 - x * this.scale;
    this.top = this.canvas.height / 2 - y * this.scale;
    this.drawAll();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.drawAll();
  }

  // Zooms about a point of the canvas, by default its center.
  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.labels) return;
    const smallest = Math.min(1, this.#fitting / 2);
    const scale = Math.min(MAX_SCALE, Math.max(smallest, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.drawAll();
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

  // --- when to draw what

  // Where the image lies or how it looks has changed.
  drawAll() {
    this.#isMoved = true;
    this.draw();
  }

  // What lies over the image has changed: all of it, or the mask within some boxes.
  drawLayer(boxes) {
    if (!this.labels) return;
    const { width: right, height: bottom } = this.labels;
    for (const box of boxes ?? [{ left: 0, top: 0, right, bottom }]) this.#stale = union(this.#stale, box);
    this.draw();
  }

  // Only the cursor, the corners of a polygon or the points have changed.
  draw() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      if (this.labels && this.levels.length) this.#paint();
    });
  }

  // --- drawing

  #paint() {
    const { context, canvas } = this, whole = { left: 0, top: 0, right: canvas.width, bottom: canvas.height };
    const stale = this.#isMoved ? { left: 0, top: 0, right: this.labels.width, bottom: this.labels.height } : this.#stale;
    if (this.#isMoved) this.#paintPicture();
    const part = stale && this.#onCanvas(stale);
    if (part) this.#paintLayer(part);
    const marks = this.#markBox();
    let region = this.#isMoved ? whole : [part, this.#marks, marks].reduce(union, null);
    region &&= clip(region, whole);
    this.#isMoved = false;
    this.#stale = null;
    this.#marks = marks;
    if (!region) return;
    const { left, top, right, bottom } = region, width = right - left, height = bottom - top;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.clearRect(left, top, width, height);
    for (const source of [this.#picture, this.#over]) {
      context.drawImage(source.canvas, left, top, width, height, left, top, width, height);
    }
    this.#paintPolygon();
    this.#paintPoints();
    this.#paintCursor();
    context.restore();
  }

  // The part of the canvas in which a box of the image lies, or null if none of it is visible.
  #onCanvas({ left, top, right, bottom }) {
    const { canvas, labels, scale } = this;
    return clip({
      left: Math.floor(this.left + left * scale) - 1, top: Math.floor(this.top + top * scale) - 1,
      right: Math.ceil(this.left + right * scale) + 1, bottom: Math.ceil(this.top + bottom * scale) + 1,
    }, {
      left: Math.max(0, Math.floor(this.left)), top: Math.max(0, Math.floor(this.top)),
      right: Math.min(canvas.width, Math.ceil(this.left + labels.width * scale)),
      bottom: Math.min(canvas.height, Math.ceil(this.top + labels.height * scale)),
    });
  }

  // The visible part of the image, from the smallest copy that has enough pixels.
  #paintPicture() {
    const { labels, scale, canvas } = this, context = this.#picture;
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.#over.clearRect(0, 0, canvas.width, canvas.height);
    const level = this.levels.findLast((one) => one.width >= labels.width * scale) ?? this.levels[0];
    const stepX = (labels.width * scale) / level.width, stepY = (labels.height * scale) / level.height;
    const x0 = Math.max(0, Math.floor(-this.left / stepX) - 1), y0 = Math.max(0, Math.floor(-this.top / stepY) - 1);
    const x1 = Math.min(level.width, Math.ceil((canvas.width - this.left) / stepX) + 1);
    const y1 = Math.min(level.height, Math.ceil((canvas.height - this.top) / stepY) + 1);
    if (x1 <= x0 || y1 <= y0) return;
    context.imageSmoothingEnabled = scale < 2;
    context.filter = this.filter;
    context.drawImage(level, x0, y0, x1 - x0, y1 - y0,
      this.left + x0 * stepX, this.top + y0 * stepY, (x1 - x0) * stepX, (y1 - y0) * stepY);
  }

  #paintLayer({ left, top, right, bottom }) {
    const columns = this.#places(right - left + 1, left - this.left, this.labels.width);
    const rows = this.#places(bottom - top + 1, top - this.top, this.labels.height);
    this.#over.putImageData(this.layer.paint(this.labels, rows, columns, left, top), left, top);
  }

  // The pixel of the image for each of so many pixels of the canvas.
  #places(count, offset, limit) {
    return Int32Array.from({ length: count }, (_, i) =>
      Math.min(limit - 1, Math.max(0, Math.floor((offset + i + 0.5) / this.scale))));
  }

  #toScreen([x, y]) {
    return [this.left + x * this.scale, this.top + y * this.scale];
  }

  // The part of the canvas that the cursor, the corners and the points may cover, or null.
  #markBox() {
    const marks = [...this.polygon, ...this.points].map((place) => [...this.#toScreen(place), 10]);
    if (this.cursor) marks.push([...this.#toScreen(this.cursor), Math.max(8, this.radius * this.scale) + 3]);
    return marks.map(([x, y, far]) => ({
      left: Math.floor(x - far), top: Math.floor(y - far), right: Math.ceil(x + far), bottom: Math.ceil(y + far),
    })).reduce(union, null);
  }

  #paintPolygon() {
    if (!this.polygon.length) return;
    this.context.beginPath();
    for (const place of [...this.polygon, ...(this.cursor ? [this.cursor] : [])]) {
      this.context.lineTo(...this.#toScreen(place));
    }
    this.#line(3);
  }

  // A plus where something is wanted, a minus where it is not.
  #paintPoints() {
    if (!this.points.length) return;
    const { context } = this;
    context.beginPath();
    for (const [px, py, isWanted] of this.points) {
      const [x, y] = this.#toScreen([px, py]);
      context.moveTo(x + 8, y);
      context.arc(x, y, 8, 0, 2 * Math.PI);
      context.moveTo(x - 5, y);
      context.lineTo(x + 5, y);
      if (!isWanted) continue;
      context.moveTo(x, y - 5);
      context.lineTo(x, y + 5);
    }
    this.#line();
  }

  #paintCursor() {
    if (!this.cursor) return;
    const { context } = this, [x, y] = this.#toScreen(this.cursor);
    context.beginPath();
    context.arc(x, y, Math.max(2, this.radius * this.scale), 0, 2 * Math.PI);
    context.moveTo(x - 6, y);
    context.lineTo(x + 6, y);
    context.moveTo(x, y - 6);
    context.lineTo(x, y + 6);
    this.#line();
  }

  // White with a dark edge, so that it is visible on every image.
  #line(width = 1) {
    const { context } = this;
    context.lineJoin = "round"; // a sharp corner would stick out of the box of the marks
    context.lineWidth = width + 2;
    context.strokeStyle = "#000";
    context.stroke();
    context.lineWidth = width;
    context.strokeStyle = "#fff";
    context.stroke();
  }
}

// The smallest box around two boxes, of which either may be null.
function union(a, b) {
  if (!a || !b) return a ?? b;
  return {
    left: Math.min(a.left, b.left), top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom),
  };
}

// What lies in both boxes, or null.
function clip(a, b) {
  const left = Math.max(a.left, b.left), top = Math.max(a.top, b.top);
  const right = Math.min(a.right, b.right), bottom = Math.min(a.bottom, b.bottom);
  return right > left && bottom > top ? { left, top, right, bottom } : null;
}
