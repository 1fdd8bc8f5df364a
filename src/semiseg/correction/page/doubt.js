// Where the model doubts: the maps over the image, and the way from one doubtful patch to the next.

import * as api from "./api.js";
import { element, say, session, view } from "./session.js";

const MIN_PATCH = 16; // pixels of the map of doubt; smaller patches are not jumped to
const DOUBTFUL = 128; // of 255

let maps = null, patches = [], patch = -1;

// Asks the server for the maps of an image.
export async function loadDoubt(number) {
  maps = null;
  patches = [];
  patch = -1;
  try {
    const answer = await api.readDoubt(number);
    if (number !== session.current) return;
    maps = answer;
    patches = findPatches(maps);
    showLayers();
  } catch (error) {
    if (number === session.current) say(error.message);
  }
}

export function showLayers() {
  view.layer.doubt = element("show-doubt").checked && maps ? maps.doubt : null;
  view.layer.disagreement = element("show-disagreement").checked && maps ? maps.disagreement : null;
  view.drawLayer();
}

export function goToDoubt() {
  if (!patches.length) return say("There is no doubtful patch");
  const { labels } = session;
  patch = (patch + 1) % patches.length;
  const [, x, y] = patches[patch];
  view.cursor = [x * labels.width, y * labels.height];
  view.scale = Math.max(view.scale, Math.min(4, view.canvas.width / Math.min(400, labels.width)));
  view.center(...view.cursor);
  say(`Doubtful patch ${patch + 1} of ${patches.length}`);
}

// Connected patches of doubtful pixels, the largest first.
function findPatches({ doubt, disagreement }) {
  const { width, height } = doubt, visited = new Uint8Array(width * height), all = [];
  const isDoubtful = (at) => disagreement.data[at] || doubt.data[at] >= DOUBTFUL;
  for (let start = 0; start < visited.length; start++) {
    if (visited[start] || !isDoubtful(start)) continue;
    let count = 0, sumX = 0, sumY = 0;
    const stack = [start];
    visited[start] = 1;
    while (stack.length) {
      const at = stack.pop(), x = at % width, y = (at - x) / width;
      count++;
      sumX += x;
      sumY += y;
      for (const [nx, ny] of [[x - 1, y], [x + 1, y], [x, y - 1], [x, y + 1]]) {
        const next = ny * width + nx;
        if (nx < 0 || ny < 0 || nx >= width || ny >= height || visited[next] || !isDoubtful(next)) continue;
        visited[next] = 1;
        stack.push(next);
      }
    }
    if (count >= MIN_PATCH) all.push([count, (sumX / count + 0.5) / width, (sumY / count + 0.5) / height]);
  }
  return all.sort((a, b) => b[0] - a[0]);
}
