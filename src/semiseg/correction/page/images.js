// Which image is shown, and what a person decides about its mask.

import * as api from "./api.js";
import { loadDoubt } from "./doubt.js";
import { History, Labels } from "./labels.js";
import { discard, save } from "./saving.js";
import { element, say, session, view } from "./session.js";
import { endStroke, giveUp } from "./tools.js";

export async function show(number) {
  if (session.isBusy || number < 0 || number >= session.queue.images.length) return;
  if (session.stroke) endStroke();
  session.isBusy = true; // nothing is painted until the image is there
  try {
    if (!(await save())) return;
    say("Loading");
    const [bitmap, mask] = await Promise.all([api.readImage(number), api.readMask(number)]);
    session.current = number;
    session.revision = mask.revision;
    session.labels = new Labels(mask.width, mask.height, mask.data);
    session.history = new History(session.labels);
    discard();
    giveUp();
    await view.setImage(bitmap, session.labels);
    showPlace();
    say("Saved");
    loadDoubt(number);
  } catch (error) {
    say(error.message);
  } finally {
    session.isBusy = false;
  }
}

// Loads the mask again, without what was changed since it was saved.
export function reload() {
  discard();
  show(session.current);
}

// Shows the first image that is not done.
export function showFirst() {
  const first = session.queue.images.findIndex(({ state }) => state === "open");
  return show(Math.max(0, first));
}

export async function decide(state) {
  const { queue, current } = session;
  if (session.isBusy) return;
  if (session.stroke) endStroke();
  session.isBusy = true; // the state is that of the image on the page
  try {
    if (!(await save())) return;
    await api.writeState(current, state);
  } catch (error) {
    return say(error.message);
  } finally {
    session.isBusy = false;
  }
  queue.images[current].state = state;
  document.dispatchEvent(new Event("decided"));
  const order = queue.images.map((_, i) => (current + 1 + i) % queue.images.length);
  const next = order.find((i) => queue.images[i].state === "open");
  showPlace();
  if (next === undefined) say("All images are done: train on with them");
  else await show(next);
}

function showPlace() {
  const { queue, current } = session, { name, state } = queue.images[current];
  const done = queue.images.filter((image) => image.state !== "open").length;
  const total = queue.images.length;
  element("place").textContent = `${name} (${current + 1} of ${total}, ${state}); ${done} of ${total} done`;
}
