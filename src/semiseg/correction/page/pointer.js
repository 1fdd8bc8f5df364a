// Mouse, pen and fingers: one paints, two move and zoom.

import { step } from "./saving.js";
import { session, view } from "./session.js";
import { closePolygon, endStroke, isBrush, moveStroke, startStroke, useTool } from "./tools.js";

const pointers = new Map(); // what touches the canvas, and where

function down(event) {
  if (!session.labels || session.isBusy) return;
  view.canvas.focus();
  view.canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, view.toCanvas(event.clientX, event.clientY));
  if (pointers.size > 1 && session.stroke && endStroke()) step("undo"); // the second finger zooms
  if (pointers.size > 1 || session.isPanning || event.button !== 0) return;
  const point = view.toImage(event.clientX, event.clientY);
  view.cursor = point;
  if (isBrush()) startStroke(event.pointerId, point);
  else useTool(point, !event.shiftKey);
}

function move(event) {
  if (!session.labels) return;
  const place = view.toCanvas(event.clientX, event.clientY), before = pointers.get(event.pointerId);
  view.cursor = view.toImage(event.clientX, event.clientY);
  if (before && pointers.size > 1) {
    const [other] = [...pointers].find(([id]) => id !== event.pointerId)?.slice(1) ?? [];
    if (other) {
      const distance = ([ax, ay], [bx, by]) => Math.max(1, Math.hypot(ax - bx, ay - by));
      view.zoom(distance(place, other) / distance(before, other), ...place);
      view.pan((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
    }
  } else if (before && session.stroke?.id === event.pointerId) {
    moveStroke(view.cursor);
  } else if (before && (session.isPanning || event.buttons & 4)) {
    view.pan(place[0] - before[0], place[1] - before[1]);
  }
  if (before) pointers.set(event.pointerId, place);
  view.draw();
}

function up(event) {
  pointers.delete(event.pointerId);
  if (session.stroke?.id === event.pointerId) endStroke();
}

// After a click or a drag on a choice or a slider, the canvas has the focus again, so that all keys
// do what they do there. Keyboard users stay where they are.
function returnFocus() {
  const aside = document.querySelector("aside");
  let isPointed = false;
  aside.addEventListener("pointerdown", () => { isPointed = true; });
  document.addEventListener("keydown", () => { isPointed = false; }, true);
  const leave = ({ target }) => {
    if (isPointed && target.matches("input")) view.canvas.focus();
  };
  for (const name of ["click", "change"]) aside.addEventListener(name, leave);
}

export function listenToPointers() {
  returnFocus();
  view.canvas.addEventListener("pointerdown", down);
  view.canvas.addEventListener("pointermove", move);
  view.canvas.addEventListener("pointerup", up);
  view.canvas.addEventListener("pointercancel", up);
  view.canvas.addEventListener("dblclick", () => !session.isBusy && view.polygon.length && closePolygon());
  view.canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (session.labels) view.zoom(Math.exp(-event.deltaY / 400), ...view.toCanvas(event.clientX, event.clientY));
  }, { passive: false });
}
