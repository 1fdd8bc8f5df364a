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
  // Such a shape has no dents, so that the pixels of a row are one run.
  stroke(x0, y0, x1, y1, radius, value) {
    const box = this.#inside(
      Math.min(x0, x1) - radius, Math.min(y0, y1) - radius,
      Math.max(x0, x1) + radius, Math.max(y0, y1) + radius,
    );
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, limit = radius * radius;
    const isNear = (x, y) => {
      const px = x + 0.5 - x0, py = y + 0.5 - y0;
      const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const ex = px - t * dx, ey = py - t * dy;
      return ex * ex + ey * ey <= limit;
    };
    for (let y = box.top; y < box.bottom; y++) {
      const [low, high] = rowOfStroke(y + 0.5, x0, y0, x1, y1, radius);
      // The ends are rounded numbers, so the pixels around them decide.
      let first = Math.max(box.left, Math.floor(low) - 1), end = Math.min(box.right, Math.ceil(high) + 1);
      while (first < end && !isNear(first, y)) first++;
      while (first < end && !isNear(end - 1, y)) end--;
      if (first < end) this.data.fill(value, y * this.width + first, y * this.width + end);
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
    const stack = [x, y];
    while (stack.length) {
      const row = stack.pop(), sx = stack.pop(), start = row * width;
      if (data[start + sx] !== old) continue;
      let left = sx, right = sx + 1;
      while (left > 0 && data[start + left - 1] === old) left--;
      while (right < width && data[start + right] === old) right++;
      data.fill(value, start + left, start + right);
      box.left = Math.min(box.left, left);
      box.right = Math.max(box.right, right);
      box.top = Math.min(box.top, row);
      box.bottom = Math.max(box.bottom, row + 1);
      for (const other of [row - 1, row + 1]) {
        if (other < 0 || other >= height) continue;
        for (let i = left, at = other * width + left, isIn = false; i < right; i++, at++) {
          const isOld = data[at] === old;
          if (isOld && !isIn) stack.push(i, other); // the first pixel of each run
          isIn = isOld;
        }
      }
    }
    return box;
  }

  // The pixels whose value in a map of another size is at least a limit.
  select(map, limit, value) {
    const { width, height, data } = this;
    const columns = Int32Array.from({ length: width }, (_, x) => Math.floor(((x + 0.5) * map.width) / width));
    for (let y = 0, at = 0; y < height; y++) {
      const row = Math.floor(((y + 0.5) * map.height) / height) * map.width;
      for (let x = 0; x < width; x++, at++) {
        if (map.data[row + columns[x]] >= limit) data[at] = value;
      }
    }
    return { left: 0, top: 0, right: width, bottom: height };
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

// Where a row cuts the outline of a line with round ends: the first and the last x, up to rounding.
function rowOfStroke(y, x0, y0, x1, y1, radius) {
  let low = Infinity, high = -Infinity;
  const take = (x) => {
    low = Math.min(low, x);
    high = Math.max(high, x);
  };
  for (const [cx, cy] of [[x0, y0], [x1, y1]]) {
    const rest = radius * radius - (y - cy) * (y - cy);
    if (rest < 0) continue;
    take(cx - Math.sqrt(rest));
    take(cx + Math.sqrt(rest));
  }
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (!length) return [low, high];
  const nx = (-(y1 - y0) / length) * radius, ny = ((x1 - x0) / length) * radius;
  const corners = [[x0 + nx, y0 + ny], [x1 + nx, y1 + ny], [x1 - nx, y1 - ny], [x0 - nx, y0 - ny]];
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % 4];
    if (ay !== by && Math.min(ay, by) <= y && y <= Math.max(ay, by)) take(ax + ((y - ay) / (by - ay)) * (bx - ax));
  });
  return [low, high];
}
