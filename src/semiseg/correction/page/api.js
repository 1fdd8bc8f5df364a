// The requests to the server. The token stands behind # in the address; it is kept for this tab only.

const TOKEN = "semiseg-token";
if (location.hash.length > 1) {
  sessionStorage.setItem(TOKEN, location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}

export class RequestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Answers of the server that the page acts on.
export const EARLIER_ROUND = 409, CHANGED_MEANWHILE = 412, UNREADABLE = 422;

let round = null; // of the images on the page; the server refuses requests about others

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}`, ...options.headers };
  if (round !== null) headers["X-Round"] = round;
  let response;
  try {
    response = await fetch(`/api/${path}`, { ...options, headers });
  } catch {
    throw new RequestError(0, "The server does not answer. Is semiseg still running?");
  }
  if (response.ok) return response;
  const content = await response.json().catch(() => ({}));
  throw new RequestError(response.status, content.error ?? `The server answers ${response.status}.`);
}

async function bytes(response) {
  return {
    width: Number(response.headers.get("X-Width")),
    height: Number(response.headers.get("X-Height")),
    data: new Uint8Array(await response.arrayBuffer()),
  };
}

export async function readQueue() {
  const queue = await (await ask("queue")).json();
  round = String(queue.round);
  return queue;
}

export const readTraining = async () => (await ask("training")).json();

// Starts, stops or resumes a training, or opens the next round; returns how far the training is.
export const tellTraining = async (path) => (await ask(path, { method: "POST" })).json();

export const readClasses = async () => (await ask("classes")).json();

// Adds a class; returns all of them.
export async function writeClass(name, color) {
  return (await ask("classes", { method: "POST", body: JSON.stringify({ name, color }) })).json();
}

export async function readImage(number, isStretched) {
  const response = await ask(`images/${number}${isStretched ? "?stretched" : ""}`);
  return createImageBitmap(await response.blob());
}

export async function readMask(number) {
  const response = await ask(`masks/${number}`);
  const { headers } = response;
  return { ...(await bytes(response)), revision: headers.get("ETag"), classes: Number(headers.get("X-Classes")) };
}

// Writes a mask; returns its new revision.
export async function writeMask(number, data, revision) {
  const options = { method: "PUT", headers: { "If-Match": revision }, body: data };
  return (await ask(`masks/${number}`, options)).headers.get("ETag");
}

// Accepts or skips the mask that has a revision.
export const writeState = (number, state, revision) =>
  ask(`states/${number}?state=${state}`, { method: "PUT", headers: { "If-Match": revision } });

export async function readDoubt(number) {
  const both = await bytes(await ask(`doubt/${number}`));
  const { width, height, data } = both, count = width * height;
  return {
    doubt: { width, height, data: data.subarray(0, count) },
    disagreement: { width, height, data: data.subarray(count) },
  };
}

export const readAlike = async (number, x, y) => bytes(await ask(`alike/${number}?x=${x}&y=${y}`));

// What the assistant selects for clicks: [x, y, whether it is wanted], in shares of the sides.
export async function readAssistant(number, clicks) {
  const words = clicks.map(([x, y, isWanted]) => `click=${x},${y},${isWanted ? 1 : 0}`);
  return bytes(await ask(`assist/${number}?${words.join("&")}`));
}
