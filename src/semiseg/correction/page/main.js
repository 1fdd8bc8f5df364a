// The page: which image is shown, what the tools do, and when the mask is saved.

import * as api from "./api.js";
import { History, IGNORED, Labels } from "./labels.js";
import { View } from "./view.js";

const SAVE_AFTER = 1000; // milliseconds without a change
const MIN_PATCH = 16; // pixels of the map of doubt; smaller patches are not jumped to
const DOUBTFUL = 128; // of 255
const element = (id) => document.getElementById(id);
const view = new View(element("canvas"));
const TOOLS = [
  ["brush", "Brush", "b"], ["erase", "Ignore", "e"], ["fill", "Fill a patch", "f"],
  ["polygon", "Polygon", "g"], ["alike", "Alike", "a"],
];
const KEYS = [
  ["1 to 9", "choose a class"], ["b e f g a", "brush, ignore, fill, polygon, alike"],
  ["[ ]", "smaller or larger brush"], ["arrow keys", "move the cursor; with shift ten times as far"],
  ["x", "use the tool at the cursor"], ["c", "close the polygon"],
  ["enter", "paint what is alike, or accept the mask and go on"], ["escape", "give up a selection"],
  ["z, shift z or y", "undo, redo"], ["d", "go to the next doubtful patch"],
  ["n p s", "next image, previous image, skip the image"], ["space", "hold it and drag to move"],
  ["alt", "hold it to hide the mask"], ["+ - 0", "zoom in, zoom out, fit"], ["?", "show the keys"],
];

let queue, labels, history, revision;
let current = -1, tool = "brush", chosen = 0, patches = [], patch = -1;
let timer = 0, saving = Promise.resolve(), isChanged = false, isSaving = false, isBusy = false;
let stroke = null, isPanning = false, pointers = new Map(), doubt = null, alikeRequest = 0;

function say(text) {
  element("status").textContent = text;
}

// --- images

async function show(number) {
  if (isBusy || number < 0 || number >= queue.images.length) return;
  if (stroke) endStroke();
  isBusy = true; // nothing is painted until the image is there
  try {
    if (!(await save())) return;
    say("Loading");
    const [bitmap, mask] = await Promise.all([api.readImage(number), api.readMask(number)]);
    current = number;
    revision = mask.revision;
    labels = new Labels(mask.width, mask.height, mask.data);
    history = new History(labels);
    isChanged = false;
    doubt = null;
    patches = [];
    patch = -1;
    alikeRequest++;
    await view.setImage(bitmap, labels);
    showPlace();
    say("Saved");
    loadDoubt(number);
  } catch (error) {
    say(error.message);
  } finally {
    isBusy = false;
  }
}

async function loadDoubt(number) {
  try {
    const maps = await api.readDoubt(number);
    if (number !== current) return;
    doubt = maps;
    patches = findPatches(maps);
    showLayers();
  } catch (error) {
    if (number === current) say(error.message);
  }
}

function showLayers() {
  view.doubt = element("show-doubt").checked && doubt ? doubt.doubt : null;
  view.disagreement = element("show-disagreement").checked && doubt ? doubt.disagreement : null;
  view.draw();
}

function showPlace() {
  const { name, state } = queue.images[current];
  const done = queue.images.filter((image) => image.state !== "open").length;
  const total = queue.images.length;
  element("place").textContent = `${name} (${current + 1} of ${total}, ${state}); ${done} of ${total} done`;
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

function goToDoubt() {
  if (!patches.length) return say("There is no doubtful patch");
  patch = (patch + 1) % patches.length;
  const [, x, y] = patches[patch];
  view.cursor = [x * labels.width, y * labels.height];
  view.scale = Math.max(view.scale, Math.min(4, view.canvas.width / Math.min(400, labels.width)));
  view.center(...view.cursor);
  say(`Doubtful patch ${patch + 1} of ${patches.length}`);
}

// --- saving

// Records a change of the mask. Returns whether there is one.
function changed(box) {
  if (!history.commit(box)) return false;
  touch();
  return true;
}

function touch() {
  isChanged = true;
  say("Not saved yet");
  view.draw();
  clearTimeout(timer);
  timer = setTimeout(save, SAVE_AFTER);
}

// Writes the mask if it has changed. Returns whether it is safe on the disk.
function save() {
  clearTimeout(timer);
  saving = saving.then(async () => {
    if (!isChanged) return true;
    isChanged = false;
    isSaving = true;
    say("Saving");
    try {
      revision = await api.writeMask(current, labels.data.slice(), revision);
      if (!isChanged) say("Saved");
      return true;
    } catch (error) {
      isChanged = true;
      say("Not saved");
      element("problem-text").textContent = error.message;
      element("retry").hidden = error.status === 412;
      if (!element("problem").open) element("problem").showModal();
      return false;
    } finally {
      isSaving = false;
    }
  });
  return saving;
}

async function decide(state) {
  if (isBusy) return;
  if (stroke) endStroke();
  isBusy = true; // the state is that of the image on the page
  try {
    if (!(await save())) return;
    await api.writeState(current, state);
  } catch (error) {
    return say(error.message);
  } finally {
    isBusy = false;
  }
  queue.images[current].state = state;
  const order = queue.images.map((_, i) => (current + 1 + i) % queue.images.length);
  const next = order.find((i) => queue.images[i].state === "open");
  showPlace();
  if (next === undefined) say("All images are done");
  else await show(next);
}

// --- tools

const value = () => (tool === "erase" ? IGNORED : chosen);
const size = () => Number(element("size").value);

function setSize(pixels) {
  element("size").value = Math.min(200, Math.max(1, pixels));
  element("size-value").textContent = `${size()} pixels`;
  view.radius = size() / 2;
  view.draw();
}

// Circles have their center in the middle of a pixel, so that a brush of one pixel paints one.
const middle = ([x, y]) => [Math.floor(x) + 0.5, Math.floor(y) + 0.5];

function paint(from, to) {
  const box = labels.stroke(...middle(from), ...middle(to), size() / 2, value());
  stroke.box = stroke.box ? {
    left: Math.min(stroke.box.left, box.left), top: Math.min(stroke.box.top, box.top),
    right: Math.max(stroke.box.right, box.right), bottom: Math.max(stroke.box.bottom, box.bottom),
  } : box;
  view.draw();
}

async function useTool(point) {
  const [x, y] = point.map(Math.floor);
  if (x < 0 || y < 0 || x >= labels.width || y >= labels.height) return;
  if (tool === "fill") changed(labels.fill(x, y, chosen));
  else if (tool === "polygon") {
    view.polygon.push(point);
    view.draw();
  } else if (tool === "alike") await findAlike(x, y);
}

async function findAlike(x, y) {
  const number = current, request = ++alikeRequest;
  say("Looking for what is alike");
  try {
    const map = await api.readAlike(number, (x + 0.5) / labels.width, (y + 0.5) / labels.height);
    if (request !== alikeRequest) return; // another image, tool or pixel was chosen meanwhile
    view.alike = map;
    view.alikeLimit = Number(element("alike").value);
    view.draw();
    say("Move the slider Alike; enter paints, escape gives up");
  } catch (error) {
    say(error.message);
  }
}

function closePolygon() {
  if (view.polygon.length > 2) changed(labels.polygon(view.polygon, chosen));
  view.polygon = [];
  view.draw();
}

function giveUp() {
  alikeRequest++;
  view.polygon = [];
  view.alike = null;
  view.draw();
}

function enter() {
  if (view.polygon.length) return closePolygon();
  if (!view.alike) return decide("accepted");
  const box = labels.select(view.alike, view.alikeLimit, chosen);
  view.alike = null;
  changed(box);
}

function step(direction) {
  if (stroke || isBusy) return;
  if (history[direction]()) touch();
  else say(direction === "undo" ? "Nothing to undo" : "Nothing to redo");
}

function choose(kind, choice) {
  const box = document.querySelector(`input[name="${kind}"][value="${choice}"]`);
  if (!box || box.disabled) return;
  box.checked = true;
  if (kind === "tool") {
    tool = choice;
    giveUp();
  } else chosen = Number(choice);
}

// --- pointer

view.canvas.addEventListener("pointerdown", (event) => {
  if (!labels || isBusy) return;
  view.canvas.focus();
  view.canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, view.toCanvas(event.clientX, event.clientY));
  if (pointers.size > 1 && stroke) {  // two fingers move and zoom
    if (endStroke()) step("undo");
  }
  if (pointers.size > 1 || isPanning || event.button !== 0) return;
  const point = view.toImage(event.clientX, event.clientY);
  view.cursor = point;
  if (tool === "brush" || tool === "erase") {
    stroke = { id: event.pointerId, at: point, box: null };
    paint(point, point);
  } else useTool(point);
});

view.canvas.addEventListener("pointermove", (event) => {
  if (!labels) return;
  const place = view.toCanvas(event.clientX, event.clientY), before = pointers.get(event.pointerId);
  view.cursor = view.toImage(event.clientX, event.clientY);
  if (before && pointers.size > 1) {
    const [other] = [...pointers].find(([id]) => id !== event.pointerId)?.slice(1) ?? [];
    if (other) {
      const distance = ([ax, ay], [bx, by]) => Math.max(1, Math.hypot(ax - bx, ay - by));
      view.zoom(distance(place, other) / distance(before, other), ...place);
      view.pan((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
    }
  } else if (before && stroke?.id === event.pointerId) {
    paint(stroke.at, view.cursor);
    stroke.at = view.cursor;
  } else if (before && (isPanning || event.buttons & 4)) {
    view.pan(place[0] - before[0], place[1] - before[1]);
  }
  if (before) pointers.set(event.pointerId, place);
  view.draw();
});

function endStroke() {
  const { box } = stroke;
  stroke = null;
  return box !== null && changed(box);
}

for (const kind of ["pointerup", "pointercancel"]) {
  view.canvas.addEventListener(kind, (event) => {
    pointers.delete(event.pointerId);
    if (stroke?.id === event.pointerId) endStroke();
  });
}
view.canvas.addEventListener("dblclick", () => !isBusy && view.polygon.length && closePolygon());
view.canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (labels) view.zoom(Math.exp(-event.deltaY / 400), ...view.toCanvas(event.clientX, event.clientY));
}, { passive: false });

// --- keys

function moveCursor(dx, dy, event) {
  const far = (event.shiftKey ? 10 : 1) * Math.max(1, Math.round(1 / view.scale));
  const [x, y] = view.cursor;
  view.cursor = [
    Math.min(labels.width - 0.5, Math.max(0.5, x + dx * far)),
    Math.min(labels.height - 0.5, Math.max(0.5, y + dy * far)),
  ];
  view.draw();
}

function useAtCursor() {
  if (tool !== "brush" && tool !== "erase") return useTool(view.cursor);
  stroke = { id: "key", at: view.cursor, box: null };
  paint(view.cursor, view.cursor);
  endStroke();
}

const ACTIONS = {
  ArrowLeft: (event) => moveCursor(-1, 0, event), ArrowRight: (event) => moveCursor(1, 0, event),
  ArrowUp: (event) => moveCursor(0, -1, event), ArrowDown: (event) => moveCursor(0, 1, event),
  x: useAtCursor, c: closePolygon, Enter: enter, Escape: giveUp,
  "[": () => setSize(size() - 2), "]": () => setSize(size() + 2),
  z: () => step("undo"), Z: () => step("redo"), y: () => step("redo"), d: goToDoubt,
  n: () => show(current + 1), p: () => show(current - 1), s: () => decide("skipped"),
  "+": () => view.zoom(1.25), "-": () => view.zoom(0.8), 0: () => view.fit(),
  "?": () => element("help").showModal(),
  ...Object.fromEntries(TOOLS.map(([name, , key]) => [key, () => choose("tool", name)])),
  ...Object.fromEntries([...Array(9).keys()].map((i) => [i + 1, () => choose("class", i)])),
};

document.addEventListener("keydown", (event) => {
  if (!labels || document.querySelector("dialog[open]")) return;
  if (event.key === "Alt") {
    event.preventDefault();
    view.isMaskHidden = true;
    return view.draw();
  }
  const inControl = event.target.matches("button, input");
  if (event.key === " ") {
    if (inControl) return;
    event.preventDefault();
    isPanning = true;
    return;
  }
  // Sliders, choices and buttons keep the keys that they understand.
  if (inControl && (event.key.startsWith("Arrow") || event.key === "Enter")) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() !== "z") return;
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  if (!isBusy && !stroke) action(event);
});
document.addEventListener("keyup", (event) => {
  if (event.key === " ") isPanning = false;
  if (event.key === "Alt") {
    view.isMaskHidden = false;
    view.draw();
  }
});
window.addEventListener("blur", () => {
  isPanning = view.isMaskHidden = false;
  view.draw();
});
window.addEventListener("beforeunload", (event) => {
  if (isChanged || isSaving) event.preventDefault();
});

// --- controls

function radio(kind, choice, text, color, isChecked, isDisabled = false) {
  const label = document.createElement("label"), input = document.createElement("input");
  Object.assign(input, { type: "radio", name: kind, value: choice, checked: isChecked, disabled: isDisabled });
  input.addEventListener("change", () => choose(kind, choice));
  label.append(input);
  if (color) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `rgb(${color.join(" ")})`;
    label.append(swatch);
  }
  label.append(text);
  return label;
}

function build() {
  TOOLS.forEach(([name, text, key]) => element("tools").append(
    radio("tool", name, `${text} (${key})`, null, name === tool, name === "erase" && !queue.can_ignore)));
  queue.classes.forEach(({ name, color }, i) => element("classes").append(
    radio("class", i, i < 9 ? `${i + 1}: ${name}` : name, color, i === chosen)));
  for (const [key, text] of KEYS) {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = key;
    description.textContent = text;
    element("keys").append(term, description);
  }
  const clicks = {
    previous: () => show(current - 1), next: () => show(current + 1), accept: () => decide("accepted"),
    skip: () => decide("skipped"), undo: () => step("undo"), redo: () => step("redo"),
    doubtful: goToDoubt, "zoom-in": () => view.zoom(1.25), "zoom-out": () => view.zoom(0.8),
    fit: () => view.fit(), "help-button": () => element("help").showModal(),
    retry: () => { element("problem").close(); save(); },
    reload: () => { element("problem").close(); isChanged = false; show(current); },
  };
  for (const [id, action] of Object.entries(clicks)) element(id).addEventListener("click", action);
  element("size").addEventListener("input", () => setSize(size()));
  element("opacity").addEventListener("input", (event) => {
    view.opacity = event.target.value / 100;
    view.draw();
  });
  element("alike").addEventListener("input", (event) => {
    view.alikeLimit = Number(event.target.value);
    view.draw();
  });
  element("show-doubt").addEventListener("change", showLayers);
  element("show-disagreement").addEventListener("change", showLayers);
}

async function start() {
  try {
    queue = await api.readQueue();
  } catch (error) {
    return say(error.message);
  }
  view.setColors(queue.classes.map(({ color }) => color));
  build();
  setSize(21);
  view.resize();
  const first = queue.images.findIndex(({ state }) => state === "open");
  await show(Math.max(0, first));
}

start();
