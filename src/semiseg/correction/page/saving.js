// When the mask is saved: a second after the last change, and before another image is shown.

import * as api from "./api.js";
import { element, say, session, view } from "./session.js";

const SAVE_AFTER = 1000; // milliseconds without a change

let timer = 0, saving = Promise.resolve(), isChanged = false, isSaving = false;

// Records a change of the mask within some boxes. Returns whether there is one.
export function changed(...boxes) {
  if (!session.history.commit(boxes)) return false;
  touch(boxes);
  return true;
}

function touch(boxes) {
  isChanged = true;
  say("Not saved yet");
  view.drawLayer(boxes);
  clearTimeout(timer);
  timer = setTimeout(save, SAVE_AFTER);
}

// Forgets that the mask has changed: another one takes its place.
export function discard() {
  isChanged = false;
}

// Writes the mask if it has changed. Returns whether it is safe on the disk.
export function save() {
  clearTimeout(timer);
  saving = saving.then(async () => {
    if (!isChanged) return true;
    isChanged = false;
    isSaving = true;
    say("Saving");
    try {
      session.revision = await api.writeMask(session.current, session.labels.data, session.revision);
      if (!isChanged) say("Saved");
      return true;
    } catch (error) {
      isChanged = true;
      say("Not saved");
      showProblem("The mask is not saved", error);
      return false;
    } finally {
      isSaving = false;
    }
  });
  return saving;
}

// Asks what to do about a mask that cannot be saved or accepted.
export function showProblem(title, error) {
  element("problem-title").textContent = title;
  const isGone = error.status === api.UNREADABLE;
  element("problem-text").textContent = isGone
    ? `${error.message} It cannot be loaded again. Put the file back, or leave the image; its unsaved changes are lost then.`
    : error.message;
  element("retry").hidden = error.status === api.CHANGED_MEANWHILE || !isChanged;
  element("reload").hidden = isGone;
  element("leave").hidden = !isGone;
  if (!element("problem").open) element("problem").showModal();
}

export function step(direction) {
  if (session.stroke || session.isBusy || !session.history) return;
  const boxes = session.history[direction]();
  if (boxes) touch(boxes);
  else say(direction === "undo" ? "Nothing to undo" : "Nothing to redo");
}

window.addEventListener("beforeunload", (event) => {
  if (isChanged || isSaving) event.preventDefault();
});
