// What the keys do.

import { choose } from "./choices.js";
import { goToDoubt } from "./doubt.js";
import { decide, show } from "./images.js";
import { step } from "./saving.js";
import { element, session, view } from "./session.js";
import {
  closePolygon, giveUp, nameThisPatch, paintAlike, stepSize, TOOLS, useAtCursor,
} from "./tools.js";

export const KEYS = [
  ["1 to 9", "choose a class; with shift, the patch under the cursor is of that class"], ["b e f g a", "brush, ignore, fill, polygon, alike"],
  ["[ ]", "smaller or larger brush"], ["arrow keys", "move the cursor; with shift ten times as far"],
  ["x", "use the tool at the cursor; with shift: the selection must not hold it (assistant)"], ["enter", "close the polygon, paint what is alike, or else accept the mask and go on"],
  ["c", "close the polygon"], ["escape", "give up a polygon or a selection"],
  ["z, shift z or y", "undo, redo"], ["d", "go to the next doubtful patch"],
  ["n p s", "next image, previous image, skip the image"], ["space", "hold it and drag to move"],
  ["alt", "hold it to hide the mask"], ["+ - 0", "zoom in, zoom out, fit"], ["?", "show the keys"],
];

function moveCursor(dx, dy, event) {
  const far = (event.shiftKey ? 10 : 1) * Math.max(1, Math.round(1 / view.scale));
  const [x, y] = view.cursor, { labels } = session;
  view.cursor = [
    Math.min(labels.width - 0.5, Math.max(0.5, x + dx * far)),
    Math.min(labels.height - 0.5, Math.max(0.5, y + dy * far)),
  ];
  view.draw();
}

function enter() {
  if (view.polygon.length) closePolygon();
  else if (view.layer.alike) paintAlike();
  else decide("accepted");
}

const ACTIONS = {
  ArrowLeft: (event) => moveCursor(-1, 0, event), ArrowRight: (event) => moveCursor(1, 0, event),
  ArrowUp: (event) => moveCursor(0, -1, event), ArrowDown: (event) => moveCursor(0, 1, event),
  x: () => useAtCursor(), X: () => useAtCursor(false), c: closePolygon, Enter: enter, Escape: giveUp,
  "[": () => stepSize(-1), "]": () => stepSize(1),
  z: () => step("undo"), Z: () => step("redo"), y: () => step("redo"), d: goToDoubt,
  n: () => show(session.current + 1), p: () => show(session.current - 1, -1), s: () => decide("skipped"),
  "+": () => view.zoom(1.25), "-": () => view.zoom(0.8), 0: () => view.fit(),
  "?": () => element("help").showModal(),
  ...Object.fromEntries(TOOLS.map(([name, , key]) => [key, () => choose("tool", name)])),
  ...Object.fromEntries([...Array(9).keys()].map((i) => [i + 1, () => choose("class", i)])),
};

// Shift with a number, where that is no number of its own as on French keyboards.
function patchAction({ shiftKey, code, key }) {
  const digit = /^Digit([1-9])$/.exec(code)?.[1];
  return shiftKey && digit && key !== digit ? () => nameThisPatch(digit - 1) : null;
}

function down(event) {
  if (!session.labels || document.querySelector("dialog[open]")) return;
  if (event.key === "Alt") {
    event.preventDefault();
    view.layer.isMaskHidden = true;
    return view.drawLayer();
  }
  const inControl = event.target.matches("button, input, summary");
  if (event.key === " ") {
    if (inControl) return;
    event.preventDefault();
    session.isPanning = true;
    return;
  }
  // Sliders, choices and buttons keep the keys that they understand.
  if (inControl && event.key.startsWith("Arrow")) return;
  if (event.key === "Enter" && event.target.matches("button, summary")) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() !== "z") return;
  const action = patchAction(event) ?? ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  if (!session.isBusy && !session.stroke) action(event);
}

function up(event) {
  if (event.key === " ") session.isPanning = false;
  if (event.key === "Alt") {
    view.layer.isMaskHidden = false;
    view.drawLayer();
  }
}

export function listenToKeys() {
  document.addEventListener("keydown", down);
  document.addEventListener("keyup", up);
  window.addEventListener("blur", () => {
    session.isPanning = view.layer.isMaskHidden = false;
    view.drawLayer();
  });
}
