// Trains on with the accepted masks, shows how far the training is, and opens the next round.

import * as api from "./api.js";
import { save } from "./saving.js";
import { element } from "./session.js";

const EVERY = 2000; // milliseconds between two questions while a training runs

let report = null, timer = 0, isAsking = false, problem = "";

const percent = (value) => `${value.toFixed(1)} %`;
const masks = (count) => (count === 1 ? "1 mask" : `${count} masks`);

function duration(seconds) {
  if (seconds < 60) return "less than a minute";
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${(seconds / 3600).toFixed(1)} h`;
}

function compared() {
  const { miou, before, start_from: start } = report;
  if (miou === null) return "";
  const score = `mIoU on val ${percent(miou)}`;
  return before === null ? score : `${score} (${start}: ${percent(before)})`;
}

function running() {
  const { run, step, steps, seconds_left: left, masks: count } = report;
  const lines = [`Training ${run} with ${masks(count)} added.`];
  if (!steps) lines.push("It reads the images and the model.");
  else if (step >= steps) lines.push("All steps are taken. It writes the model and the report.");
  else {
    const time = left === null ? "" : `, ${duration(left)} left`;
    lines.push(`Step ${step} of ${steps}${time}.`);
  }
  lines.push(compared());
  lines.push("You can go on correcting, or close this page: the training goes on.");
  return lines;
}

function finished() {
  const { run, miou, before, best } = report, lines = [];
  if (miou === null) lines.push(`${run} is trained. val has no score.`);
  else if (before === null) lines.push(`${run} is trained: ${compared()}.`);
  else if (miou > before) lines.push(`${run} is better: ${compared()}.`);
  else if (miou < before) {
    lines.push(`${run} is not better: ${compared()}. A few images of val also differ by chance.`);
  } else lines.push(`${run} is as good: ${compared()}.`);
  if (report.can_go_on) lines.push(`${best} will choose the next images and draw their masks.`);
  return lines;
}

function ended() {
  const { state, run, step, steps } = report;
  if (state === "finished") return finished();
  if (state === "stopped") return [`${run} is stopped at step ${step} of ${steps || "?"}.`];
  if (state === "failed") return [`The training of ${run} ended early:`, report.error];
  return [];
}

function show() {
  const { state, accepted, step, steps, history, command } = report;
  element("training-title").textContent = `Train on (round ${report.round})`;
  element("training-text").textContent = accepted
    ? `${masks(accepted)} accepted. A training adds them to your data, and changes none of its files.`
    : "Accept masks first. A training then adds them to your data.";
  const text = (parts) => parts.filter(Boolean).join("\n");
  // A screen reader reads the status aloud, but not each step.
  element("training-step").textContent = state === "running" ? text(running()) : "";
  element("training-status").textContent = text([...ended(), problem]);
  const progress = element("training-progress"), isRunning = state === "running";
  progress.hidden = !isRunning;
  if (steps) Object.assign(progress, { max: steps, value: step });
  else progress.removeAttribute("value");
  const canStart = !isRunning;
  Object.assign(element("train"), {
    hidden: !canStart, disabled: !accepted || isAsking, textContent: `Train on with ${masks(accepted)}`,
  });
  Object.assign(element("stop-training"), { hidden: !isRunning, disabled: isAsking });
  const canResume = state === "stopped" || state === "failed";
  Object.assign(element("resume-training"), { hidden: !canResume, disabled: isAsking });
  Object.assign(element("next-round"), { hidden: !report.can_go_on, disabled: isAsking });
  element("training-details").hidden = !command;
  element("training-history").replaceChildren(...history.map(({ run, miou }) => {
    const item = document.createElement("li");
    item.textContent = miou === null ? run : `${run}: mIoU ${percent(miou)}`;
    return item;
  }));
  element("training-command").textContent = command;
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
  if (!report || report.state === "running") timer = setTimeout(refresh, EVERY);
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

export function watchTraining() {
  element("train").addEventListener("click", () => tell("training", "The training starts."));
  element("stop-training").addEventListener("click", () => tell("training/stop", "It stops after this step."));
  element("resume-training").addEventListener("click", () => tell("training/resume", "The training goes on."));
  element("next-round").addEventListener("click", async () => {
    if (await tell("rounds", "The model looks at the images. This may take a few minutes.")) location.reload();
  });
  document.addEventListener("decided", refresh);
  return refresh();
}
