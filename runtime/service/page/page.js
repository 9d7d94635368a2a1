// Joins the parts: pictures on the stage, the truth about them above it, figures and controls below.

import {Chart} from "./chart.js";
import {buildControls} from "./controls.js";
import {Divider} from "./divider.js";
import {ask, setToken, Stream} from "./service.js";

const $ = (id) => document.getElementById(id);
const VIEWS = {
  compare: ["original", "translated"], original: ["original"], translated: ["translated"], difference: ["difference"],
};
const WORDS = {
  "no signal": "NO SIGNAL", stale: "STALE PICTURE", frozen: "FROZEN CAMERA", "engine hung": "ENGINE HUNG", failed: "STREAM FAILED", ended: "END OF THE RECORDING",
  starting: "WAITING FOR THE FIRST PICTURE", off: "NO CAMERA", away: "NO WORD FROM THE SERVICE",
};
const BAD = new Set(["no signal", "engine hung", "failed"]);
const STAGES = ["age", "compute", "queue", "capture", "sink"];

const divider = new Divider($("stage"), $("divider"), $("front"));
const chart = new Chart($("chart"));
let view = "compare";
let stream = null;
let newest = null; // head of the last message
let noteTimer = 0;

function say(text, bad = false) {
  clearTimeout(noteTimer);
  $("note").textContent = text;
  $("note").classList.toggle("bad", bad);
  $("note").hidden = false;
  noteTimer = setTimeout(() => { $("note").hidden = true; }, bad ? 8000 : 3000);
}

async function receive(head, blobs) {
  newest = head;
  const names = Object.keys(blobs);
  if (names.length) {
    const pictures = await Promise.all(names.map((name) => createImageBitmap(blobs[name])));
    pictures.forEach((picture, index) => paint(index ? $("front") : $("back"), picture));
    if (names.length === 1) paint($("front"), pictures[0]);
    document.documentElement.dataset.sequence = head.sequence;
    pictures.forEach((picture) => picture.close());
    if (head.state === "live" || head.state === "playing") chart.add(head.stages_ms.age ?? 0, head.stages_ms.compute ?? 0);
  }
  tell(head);
}

function paint(canvas, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
    $("stage").style.setProperty("--aspect", picture.width / picture.height);
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

/** Says how the picture on the stage is to be taken. */
function tell(head) {
  const good = head.state === "live" || head.state === "playing";
  const state = $("state");
  state.textContent = head.state === "away" ? "no connection" : head.state;
  state.className = `state ${good ? "good" : BAD.has(head.state) ? "bad" : "warn"}`;
  banner(good ? "" : WORDS[head.state] ?? head.state, head.state === "stale" && head.age_ms
    ? `this picture is ${(head.age_ms / 1000).toFixed(1)} s old` : head.reason ?? "");
  $("stage").classList.toggle("old", !good && head.state !== "ended" && !BAD.has(head.state));
  const down = head.ladder && head.ladder.level > 0;
  $("ladder").hidden = !down;
  if (down) $("ladder").textContent = `the machine is late: step ${head.ladder.level} of the ladder, ${head.ladder.name}`;
  if (!good) chart.gap();
  figures(head, good);
}

function banner(title, reason) {
  const box = $("banner");
  box.hidden = !title;
  if (!title || box.dataset.shown === title + reason) return;
  box.dataset.shown = title + reason; // a screen reader hears it once
  const small = document.createElement("small");
  small.textContent = reason;
  box.replaceChildren(title, small);
}

function figures(head, good) {
  const rows = good ? STAGES.map((name) => [name, `${(head.stages_ms[name] ?? 0).toFixed(1)} ms`]) : [];
  if (head.fps !== undefined) {
    rows.push(["fps", head.fps.toFixed(1)], ["frames", head.frames], ["dropped", head.dropped], ["losses", head.losses]);
    if (head.ladder) rows.push(["late", head.late], ["steps down", head.ladder.down ?? 0], ["steps up", head.ladder.up ?? 0]);
  }
  $("figures").replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("div");
    row.className = name;
    row.append(Object.assign(document.createElement("dt"), {textContent: name}),
      Object.assign(document.createElement("dd"), {textContent: value}));
    return row;
  }));
}

function choose(name) {
  view = name;
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-checked", button.dataset.view === name);
  }
  divider.show(name === "compare");
  for (const [side, shown] of [["left", "original"], ["right", "translated"]]) {
    const label = document.querySelector(`.label.${side}`);
    label.hidden = name !== "compare" && !(side === "left");
    label.textContent = name === "compare" ? shown : name;
  }
  stream?.show(VIEWS[name]);
}

async function snapshot() {
  const kept = view === "compare" ? "side" : view;
  try {
    const answer = await ask(`/snapshot/${kept}`);
    const link = document.createElement("a");
    link.download = /filename="(.+)"/.exec(answer.headers.get("content-disposition"))[1];
    link.href = URL.createObjectURL(await answer.blob());
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say(`kept ${link.download}`);
  } catch (error) {
    say(error.message, true);
  }
}

function help() {
  $("help").hidden = !$("help").hidden;
  $("keys").setAttribute("aria-expanded", !$("help").hidden);
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, dialog")) return;
  const names = Object.keys(VIEWS);
  if (event.key >= "1" && event.key <= String(names.length)) choose(names[event.key - 1]);
  else if (event.key === "s") snapshot();
  else if (event.key === "?") help();
  else if (event.key.startsWith("Arrow") && !event.key.endsWith("Up") && !event.key.endsWith("Down")) divider.key(event);
}

function lost() {
  tell({...newest, state: "away", reason: "the pictures may be old; trying again", ladder: null});
  if (!document.hidden) connectAgain();
}

/** A token that is no longer good looks like a lost connection: ask. */
async function connectAgain() {
  try {
    await ask("/engine");
  } catch (error) {
    if (error.status === 401) login();
  }
}

function login() {
  const dialog = $("login");
  if (dialog.open) return;
  dialog.onclose = () => {
    setToken($("token").value);
    $("token").value = "";
    start();
  };
  dialog.showModal();
}

async function start() {
  try {
    const engine = await (await ask("/engine")).json();
    $("engine").textContent = [engine.file, engine.system, engine.precision, engine.running,
      `SHA-256 ${engine.sha256.engine.slice(0, 12)}…`].filter(Boolean).join(" · ");
    $("controls").hidden = !(await buildControls($("fields"), say));
  } catch (error) {
    if (error.status === 401) return login();
    tell({state: "away", reason: error.message});
    return setTimeout(start, 2000);
  }
  stream ??= new Stream(receive, lost);
}

for (const button of document.querySelectorAll("[data-view]")) button.onclick = () => choose(button.dataset.view);
$("snapshot").onclick = snapshot;
$("keys").onclick = help;
document.addEventListener("keydown", key);
document.addEventListener("visibilitychange", () => { if (!document.hidden && stream) stream.open(); });
start();
