// Trains on with the accepted masks, shows how far the training is, and opens the next round.

import * as api from "./api.js";
import { save } from "./saving.js";
import { element, session } from "./session.js";

const CHOOSING = "The model looks at the images. This may take a few minutes.";
const EVERY = 2000; // milliseconds between two questions while a training runs

let report = null, timer = 0, isAsking = false, isStopping = false, problem = "";

const percent = (value) => `${value.toFixed(1)}\u00a0%`;
const masks = (count) => (count === 1 ? "1 mask" : `${count} masks`);

function duration(seconds) {
  if (seconds < 60) return "less than a minute";
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${(seconds / 3600).toFixed(1)} h`;
}

// The score of the training, and that of the model it started from.
function scores() {
  const { miou, before } = report;
  if (miou === null) return "";
  return before === null ? `mIoU\u00a0${percent(miou)}` : `mIoU\u00a0${percent(miou)}, before ${percent(before)}`;
}

function running() {
  const { step, steps, seconds_left: left } = report;
  if (!steps) return ["Reading the images and the model"];
  if (step >= steps) return ["Writing the model and the report", scores()];
  const time = left === null ? "" : `, ${duration(left)} left`;
  return [`Step ${step} of ${steps}${time}`, scores()];
}

function finished() {
  const { run, miou, before, best } = report, lines = [];
  if (miou === null) lines.push(`${run} is trained; it has no score`);
  else if (before === null) lines.push(`${run} is trained: ${scores()}`);
  else if (miou > before) lines.push(`${run} is better: ${scores()}`);
  else if (miou === before) lines.push(`${run} is as good: ${scores()}`);
  else lines.push(`${run} is not better: ${scores()}. More masks may help.`);
  if (report.is_choosing) lines.push(CHOOSING);
  else if (report.can_go_on) lines.push(`${best} chooses the next images`);
  return lines;
}

// What the two buttons below an unfinished training do.
function choices() {
  const { run, accepted } = report;
  const lines = [`Go on: continue ${run} from where it stands, with the masks that it began with.`];
  if (accepted) lines.push("Train on: begin a new training with all masks that are accepted now.");
  return lines;
}

function ended() {
  const { state, run, step, steps } = report;
  if (state === "finished") return finished();
  if (state === "stopped") return [steps ? `${run} is stopped at step ${step} of ${steps}.` : `${run} is stopped.`, ...choices()];
  if (state === "failed") return [`${run} ended early:`, report.error, ...choices()];
  return report.accepted ? [] : ["Accept masks first; then train on with them."];
}

const text = (parts) => parts.filter(Boolean).join("\n");

function show() {
  const { state, accepted, step, steps, history, command } = report, isRunning = state === "running";
  isStopping &&= isRunning;
  element("training-title").textContent = `Train on (round ${report.round})`;
  // A screen reader reads the status aloud, but not each step.
  element("training-step").textContent = isRunning ? text(running()) : "";
  let lines = isRunning || isAsking ? [] : ended();
  if (isStopping) lines = ["Stopping after this step"];
  element("training-status").textContent = text([...lines, problem]);
  const progress = element("training-progress");
  progress.hidden = !isRunning;
  if (steps) Object.assign(progress, { max: steps, value: step });
  else progress.removeAttribute("value");
  Object.assign(element("train"), {
    hidden: isRunning, disabled: !accepted || isAsking, textContent: `Train on with ${masks(accepted)}`,
  });
  Object.assign(element("stop-training"), {
    hidden: !isRunning, disabled: isAsking || isStopping, textContent: isStopping ? "Stopping" : "Stop training",
  });
  const canResume = state === "stopped" || state === "failed";
  Object.assign(element("resume-training"), { hidden: !canResume, disabled: isAsking });
  Object.assign(element("next-round"), { hidden: !report.can_go_on, disabled: isAsking || report.is_choosing });
  element("training-history").replaceChildren(...history.map(({ run, miou }) => {
    const item = document.createElement("li");
    item.textContent = miou === null ? run : `${run}: mIoU ${percent(miou)}`;
    return item;
  }));
  Object.assign(element("training-command"), { hidden: !command, textContent: command });
}

async function refresh() {
  clearTimeout(timer);
  try {
    report = await api.readTraining();
    show();
  } catch (error) {
    element("training-status").textContent = error.message;
  }
  clearTimeout(timer);
  if (report && !isAsking && report.round !== session.queue.round && await save()) location.reload();
  if (!report || report.state === "running" || report.is_choosing) timer = setTimeout(refresh, EVERY);
}

async function tell(path, text) {
  if (isAsking) return false;
  isAsking = true;
  problem = text;
  show();
  try {
    if (!(await save())) throw new Error("The mask on the page is not saved yet.");
    report = await api.tellTraining(path);
    problem = "";
    return true;
  } catch (error) {
    problem = error.message;
    return false;
  } finally {
    isAsking = false;
    await refresh();
  }
}

// A step may take long; the button says at once that it was pressed.
async function stop() {
  isStopping = true;
  if (await tell("training/stop", "")) return;
  isStopping = false;
  show();
}

async function openNextRound() {
  if (session.isBusy) return;
  session.isBusy = true; // what is changed from now on would be in neither round
  try {
    if (await tell("rounds", CHOOSING)) location.reload();
  } finally {
    session.isBusy = false;
  }
}

export function watchTraining() {
  element("train").addEventListener("click", () => tell("training", "The training starts."));
  element("stop-training").addEventListener("click", stop);
  element("resume-training").addEventListener("click", () => tell("training/resume", "The training goes on."));
  element("next-round").addEventListener("click", openNextRound);
  document.addEventListener("decided", refresh);
  return refresh();
}
