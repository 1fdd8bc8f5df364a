// Which image is shown, and what a person decides about its mask.

import * as api from "./api.js";
import { setClasses } from "./choices.js";
import { loadDoubt } from "./doubt.js";
import { History } from "./history.js";
import { Labels } from "./labels.js";
import { discard, save, showProblem } from "./saving.js";
import { element, say, session, view } from "./session.js";
import { endStroke, fitSizes, giveUp } from "./tools.js";

// Shows an image. One that cannot be read is noted, and the next in this direction is shown.
export function show(number, direction = 1) {
  const { length } = session.queue.images, order = [];
  for (let i = number; i >= 0 && i < length; i += direction) order.push(i);
  return showFirstOf(order);
}

// Shows the first of some images that can be read.
async function showFirstOf(order) {
  if (session.isBusy || !order.length) return;
  if (session.stroke) endStroke();
  session.isBusy = true; // nothing is painted until the image is there
  try {
    if (!(await save())) return;
    for (const number of order) {
      say("Loading");
      view.canvas.setAttribute("aria-busy", "true");
      if (await load(number)) return;
    }
    say("No further image can be read");
  } catch (error) {
    fail(error);
  } finally {
    session.isBusy = false;
    view.canvas.removeAttribute("aria-busy");
  }
}

// Another tab may have gone on to the next round: then this one shows it, too.
function fail(error) {
  if (error.status === api.EARLIER_ROUND) location.reload();
  else if (error.status === api.CHANGED_MEANWHILE) showProblem("The mask is another one by now", error);
  else if (error.status === api.UNREADABLE) showProblem("The mask cannot be read", error);
  else say(error.message);
}

// Returns whether the image can be read.
async function load(number) {
  const image = session.queue.images[number];
  let bitmap, mask;
  try {
    [bitmap, mask] = await Promise.all([
      api.readImage(number, element("stretched").checked), api.readMask(number),
    ]);
  } catch (error) {
    if (error.status !== api.UNREADABLE) throw error;
    image.problem = error.message;
    showProblems();
    return false;
  }
  delete image.problem;
  if (mask.classes !== session.classes.length) setClasses(await api.readClasses()); // another tab added one
  const labels = new Labels(mask.width, mask.height, mask.data);
  giveUp();
  await view.setImage(bitmap, labels);
  fitSizes(labels);
  Object.assign(session, { current: number, revision: mask.revision, labels, history: new History(labels) });
  discard();
  showPlace();
  showProblems();
  say("Saved");
  loadDoubt(number);
  return true;
}

// Shows the picture again, with or without more contrast.
export async function showPicture() {
  const { current } = session;
  if (session.isBusy || current < 0) return;
  try {
    const bitmap = await api.readImage(current, element("stretched").checked);
    if (current === session.current) await view.setPicture(bitmap);
  } catch (error) {
    say(error.message);
  }
}

// Loads the mask again, without what was changed since it was saved.
export function reload() {
  discard();
  show(session.current);
}

// Goes on with the next image that can be read, without what was changed since the mask was saved.
export function leave() {
  discard();
  const { length } = session.queue.images;
  return showFirstOf(session.queue.images.map((_, i) => (session.current + 1 + i) % length));
}

// Shows the first image that is not done.
export function showFirst() {
  const numbers = session.queue.images.map((_, i) => i);
  const isOpen = (i) => session.queue.images[i].state === "open";
  return showFirstOf([...numbers.filter(isOpen), ...numbers.filter((i) => !isOpen(i))]);
}

export async function decide(state) {
  const { queue, current } = session;
  if (session.isBusy || !session.labels) return;
  if (session.stroke) endStroke();
  session.isBusy = true; // the state is that of the image on the page
  try {
    if (!(await save())) return;
    await api.writeState(current, state, session.revision);
  } catch (error) {
    return fail(error);
  } finally {
    session.isBusy = false;
  }
  queue.images[current].state = state;
  document.dispatchEvent(new Event("decided"));
  const order = queue.images.map((_, i) => (current + 1 + i) % queue.images.length);
  const open = order.filter((i) => queue.images[i].state === "open" && !queue.images[i].problem);
  showPlace();
  if (open.length) await showFirstOf(open);
  if (!queue.images.some((image) => image.state === "open" && !image.problem)) {
    const all = queue.images.some((image) => image.problem) ? "All other images" : "All images";
    say(`${all} are done: train on with them`);
  }
}

function showPlace() {
  const { queue, current } = session, { name, state } = queue.images[current];
  const count = (wanted) => queue.images.filter((image) => image.state === wanted).length;
  const total = queue.images.length;
  element("place").textContent = `${name} (${current + 1} of ${total}, ${state}); `
    + `${count("accepted")} accepted, ${count("skipped")} skipped of ${total}`;
}

// Lists the images that cannot be read, each with a button that tries again.
function showProblems() {
  const items = [];
  session.queue.images.forEach(({ name, problem }, number) => {
    if (!problem) return;
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = "Try again";
    button.setAttribute("aria-label", `Try to read ${name} again`);
    button.addEventListener("click", () => showFirstOf([number]));
    item.append(`${name}: ${problem}`, button);
    items.push(item);
  });
  element("unreadable-list").replaceChildren(...items);
  element("unreadable").hidden = !items.length;
}
