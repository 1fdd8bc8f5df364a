// The steps of one mask that can be undone. A step keeps the bytes of the small squares in which it
// changed anything, so that a long thin stroke over a large image takes little memory.

const TILE = 256; // pixels
const MAX_BYTES = 128 << 20; // of all steps; the oldest ones go first

export class History {
  #labels;
  #committed;
  #steps = [];
  #done = 0;

  constructor(labels) {
    this.#labels = labels;
    this.#committed = labels.data.slice();
  }

  // The memory of all steps.
  get bytes() {
    return this.#steps.reduce((sum, step) => sum + step.bytes, 0);
  }

  // Records what has changed within some boxes. Returns whether anything has.
  commit(boxes) {
    const parts = [];
    for (const tile of this.#tiles(boxes)) {
      const box = this.#tighten(tile);
      if (!box) continue;
      const before = this.#cut(this.#committed, box), after = this.#cut(this.#labels.data, box);
      this.#paste(this.#committed, box, after);
      parts.push({ box, before, after });
    }
    if (!parts.length) return false;
    this.#steps.length = this.#done;
    this.#steps.push({ parts, bytes: parts.reduce((sum, part) => sum + 2 * part.before.length, 0) });
    let { bytes } = this;
    while (this.#steps.length > 1 && bytes > MAX_BYTES) bytes -= this.#steps.shift().bytes;
    this.#done = this.#steps.length;
    return true;
  }

  // Both return the boxes that have changed, or null if there is no such step.
  undo() {
    return this.#done > 0 ? this.#apply(this.#steps[--this.#done], "before") : null;
  }

  redo() {
    return this.#done < this.#steps.length ? this.#apply(this.#steps[this.#done++], "after") : null;
  }

  #apply({ parts }, side) {
    for (const part of parts) {
      this.#paste(this.#labels.data, part.box, part[side]);
      this.#paste(this.#committed, part.box, part[side]);
    }
    return parts.map(({ box }) => box);
  }

  // The squares that some boxes touch, each once.
  #tiles(boxes) {
    const { width, height } = this.#labels, across = Math.ceil(width / TILE), numbers = new Set();
    for (const { left, top, right, bottom } of boxes) {
      if (right <= left || bottom <= top) continue;
      for (let row = Math.floor(top / TILE); row * TILE < bottom; row++) {
        for (let column = Math.floor(left / TILE); column * TILE < right; column++) numbers.add(row * across + column);
      }
    }
    return [...numbers].map((number) => {
      const left = (number % across) * TILE, top = Math.floor(number / across) * TILE;
      return { left, top, right: Math.min(width, left + TILE), bottom: Math.min(height, top + TILE) };
    });
  }

  // The box of the pixels that differ from the last step, or null.
  #tighten(box) {
    const { width, data } = this.#labels, committed = this.#committed;
    let left = box.right, right = box.left, top = -1, bottom = -1;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left, at = y * width + x; x < box.right; x++, at++) {
        if (data[at] === committed[at]) continue;
        if (top < 0) top = y;
        bottom = y + 1;
        if (x < left) left = x;
        if (x >= right) right = x + 1;
      }
    }
    return top < 0 ? null : { left, top, right, bottom };
  }

  #cut(data, { left, top, right, bottom }) {
    const part = new Uint8Array((right - left) * (bottom - top));
    for (let y = top; y < bottom; y++) {
      const row = y * this.#labels.width;
      part.set(data.subarray(row + left, row + right), (y - top) * (right - left));
    }
    return part;
  }

  #paste(data, { left, top, right, bottom }, part) {
    for (let y = top; y < bottom; y++) {
      const from = (y - top) * (right - left);
      data.set(part.subarray(from, from + right - left), y * this.#labels.width + left);
    }
  }
}
