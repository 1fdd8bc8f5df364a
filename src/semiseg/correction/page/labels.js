// A mask in memory: one byte for each pixel, the index of its class, and what changes it. Circles,
// lines and polygons are rasterized here, since a canvas would blend their edges.

export const IGNORED = 255;

export class Labels {
  constructor(width, height, data) {
    this.width = width;
    this.height = height;
    this.data = data;
  }

  // The pixels whose centers lie within a radius of a line from (x0, y0) to (x1, y1), in pixels.
  stroke(x0, y0, x1, y1, radius, value) {
    const box = this.#inside(
      Math.min(x0, x1) - radius, Math.min(y0, y1) - radius,
      Math.max(x0, x1) + radius, Math.max(y0, y1) + radius,
    );
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, limit = radius * radius;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++) {
        const px = x + 0.5 - x0, py = y + 0.5 - y0;
        const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - t * dx, ey = py - t * dy;
        if (ex * ex + ey * ey <= limit) this.data[y * this.width + x] = value;
      }
    }
    return box;
  }

  // The pixels whose centers lie inside a polygon of [x, y] pairs (even-odd rule).
  polygon(points, value) {
    const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    const box = this.#inside(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    for (let y = box.top; y < box.bottom; y++) {
      const cy = y + 0.5, cuts = [];
      points.forEach(([ax, ay], i) => {
        const [bx, by] = points[(i + 1) % points.length];
        if (ay <= cy !== by <= cy) cuts.push(ax + ((cy - ay) / (by - ay)) * (bx - ax));
      });
      cuts.sort((a, b) => a - b);
      for (let i = 0; i + 1 < cuts.length; i += 2) {
        const first = Math.max(box.left, Math.ceil(cuts[i] - 0.5));
        const end = Math.min(box.right, Math.ceil(cuts[i + 1] - 0.5));
        if (end > first) this.data.fill(value, y * this.width + first, y * this.width + end);
      }
    }
    return box;
  }

  // The connected patch of one class that holds a pixel; neighbors share a side.
  fill(x, y, value) {
    const { width, height, data } = this;
    const old = data[y * width + x];
    const box = { left: x, top: y, right: x + 1, bottom: y + 1 };
    if (old === value) return { left: x, top: y, right: x, bottom: y };
    const stack = [[x, y]];
    while (stack.length) {
      const [sx, row] = stack.pop();
      if (data[row * width + sx] !== old) continue;
      let left = sx, right = sx + 1;
      while (left > 0 && data[row * width + left - 1] === old) left--;
      while (right < width && data[row * width + right] === old) right++;
      data.fill(value, row * width + left, row * width + right);
      box.left = Math.min(box.left, left);
      box.right = Math.max(box.right, right);
      box.top = Math.min(box.top, row);
      box.bottom = Math.max(box.bottom, row + 1);
      for (const other of [row - 1, row + 1]) {
        if (other < 0 || other >= height) continue;
        for (let i = left; i < right; i++) {
          const at = other * width + i;
          if (data[at] === old && (i === left || data[at - 1] !== old)) stack.push([i, other]);
        }
      }
    }
    return box;
  }

  // The pixels whose value in a map of another size is at least a limit.
  select(map, limit, value) {
    for (let y = 0; y < this.height; y++) {
      const row = Math.floor(((y + 0.5) * map.height) / this.height) * map.width;
      for (let x = 0; x < this.width; x++) {
        const at = row + Math.floor(((x + 0.5) * map.width) / this.width);
        if (map.data[at] >= limit) this.data[y * this.width + x] = value;
      }
    }
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  #inside(left, top, right, bottom) {
    return {
      left: Math.max(0, Math.floor(left)),
      top: Math.max(0, Math.floor(top)),
      right: Math.min(this.width, Math.ceil(right)),
      bottom: Math.min(this.height, Math.ceil(bottom)),
    };
  }
}

const MAX_BYTES = 256 << 20; // of all steps that can be undone

// The steps of one mask: each keeps the bytes of its box before and after.
export class History {
  #labels;
  #committed;
  #steps = [];
  #done = 0;

  constructor(labels) {
    this.#labels = labels;
    this.#committed = labels.data.slice();
  }

  // Records what has changed within a box. Returns whether anything has.
  commit(box) {
    const tight = this.#tighten(box);
    if (!tight) return false;
    this.#steps.length = this.#done;
    const before = this.#cut(this.#committed, tight), after = this.#cut(this.#labels.data, tight);
    this.#steps.push({ box: tight, before, after });
    this.#paste(this.#committed, tight, after);
    let bytes = this.#steps.reduce((sum, step) => sum + 2 * step.before.length, 0);
    while (this.#steps.length > 1 && bytes > MAX_BYTES) bytes -= 2 * this.#steps.shift().before.length;
    this.#done = this.#steps.length;
    return true;
  }

  undo() {
    return this.#done > 0 && this.#apply(this.#steps[--this.#done], "before");
  }

  redo() {
    return this.#done < this.#steps.length && this.#apply(this.#steps[this.#done++], "after");
  }

  #apply(step, side) {
    this.#paste(this.#labels.data, step.box, step[side]);
    this.#paste(this.#committed, step.box, step[side]);
    return true;
  }

  // The box of the pixels that differ from the last step, or null.
  #tighten(box) {
    const { width, data } = this.#labels;
    let left = box.right, right = box.left, top = -1, bottom = -1;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++) {
        if (data[y * width + x] === this.#committed[y * width + x]) continue;
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
