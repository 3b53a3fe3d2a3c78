// What the music listens to besides words: a melody, and a take to go on from.

import { get, upload } from "./api.js";
import { $, button, clock, complain, el, setIcon, span, speak } from "./dom.js";
import { drawLevel, record } from "./microphone.js";

const chosen = { melody: null, prompt: null }; // {id, name, seconds}
let changed = () => {};
let preview = null;

export const melody = () => chosen.melody;
export const prompt = () => chosen.prompt;
/** Seconds of the prompt's end that are heard, null for all of it. */
export const promptSeconds = () => { const value = Number($("prompt-seconds")?.value); return chosen.prompt && value > 0 && !(value >= chosen.prompt.seconds && chosen.prompt.seconds) ? value : null; };

/** Choose a take or an upload ({id, name, seconds}); null takes it away. */
export function choose(kind, source, seconds = null) {
  chosen[kind] = source;
  complain(kind);
  const chip = $(`${kind}-chip`);
  chip.hidden = !source;
  if (kind === "melody") $("melody-pick").hidden = Boolean(source); else $("field-prompt").hidden = !source;
  if (source) {
    const picked = el("div", { class: "picked" }, el("span", { class: "name" }, source.name), el("span", { class: "figures note" }, source.seconds ? clock(source.seconds) : ""), button("play", `Hear ${source.name}`, (event) => hear(event.currentTarget, source)), button("close", kind === "melody" ? "No melody" : "Begin anew", () => { choose(kind, null); (kind === "melody" ? $("hum") : $("text")).focus(); }));
    chip.replaceChildren(picked);
    if (kind === "prompt") chip.append(el("div", { class: "after" }, el("label", { for: "prompt-seconds" }, "Hear the last"), el("span", { class: "unit" }, el("input", { id: "prompt-seconds", type: "number", min: 0.5, max: source.seconds || null, step: "any", placeholder: "all", value: seconds, on: { input: () => changed() } }), el("span", { "aria-hidden": "true" }, "s"))));
  } else chip.replaceChildren();
  changed();
}

function hear(node, source) {
  const mine = preview?.node === node;
  preview?.stop();
  if (mine) return;
  const audio = new Audio(source.url ?? (source.isTake ? `/v1/takes/${source.id}/audio?format=flac` : `/v1/uploads/${source.id}/audio`));
  const stop = () => { audio.pause(); setIcon(node, "play", `Hear ${source.name}`); preview = null; };
  audio.addEventListener("ended", stop);
  audio.play().then(() => setIcon(node, "pause", "Stop"), stop);
  preview = { node, stop };
}

/** What an id stands for, an upload or a take; null: it is no longer kept. */
export async function known(id) {
  for (const [path, isTake] of [[`/v1/uploads/${id}`, false], [`/v1/takes/${id}`, true]]) {
    try {
      const found = await get(path);
      return isTake ? { id, name: found.title, seconds: found.duration, isTake } : { id, name: found.name, seconds: found.seconds };
    } catch (error) { if (error.status !== 404) throw error; }
  }
  return null;
}

/** Upload a recording and take it as the melody. */
export async function bring(blob, name) {
  complain("melody");
  $("melody-pick").setAttribute("aria-busy", "true");
  try {
    const sent = await upload(blob, name);
    choose("melody", { id: sent.id, name, seconds: sent.seconds, url: URL.createObjectURL(blob) });
    speak(`Melody: ${name}, ${span(sent.seconds)}`);
  } catch (error) {
    complain("melody", error.message);
  } finally {
    $("melody-pick").removeAttribute("aria-busy");
  }
}

export function setUpSources(onChange) {
  changed = onChange;
  $("melody-file").addEventListener("change", (event) => { const [file] = event.target.files; if (file) bring(file, file.name); event.target.value = ""; });
  let recording = null;
  const idle = () => {
    recording = null;
    $("hum").classList.remove("recording");
    $("hum-label").textContent = "Hum it";
    $("hum-level").hidden = $("hum-time").hidden = true;
    setIcon($("hum").querySelector("[data-icon]"), "mic");
  };
  $("hum").addEventListener("click", async () => {
    if (recording) return recording.stop();
    complain("melody");
    const history = [];
    try {
      recording = await record((level, seconds) => { history.push(level); drawLevel($("hum-level"), history); $("hum-time").textContent = clock(seconds); });
      $("hum").classList.add("recording");
      $("hum-label").textContent = "Stop";
      $("hum-level").hidden = $("hum-time").hidden = false;
      setIcon($("hum").querySelector("[data-icon]"), "stop");
      speak("Recording");
      const wav = await recording.wav;
      idle();
      await bring(wav, "hummed melody");
    } catch (error) {
      idle();
      complain("melody", error.message);
    }
  });
  // A file or a take may be dropped on the form: a file is a melody, and so is a take on the melody's own place.
  const target = $("compose");
  const welcome = (event) => event.dataTransfer.types.includes("Files") || event.dataTransfer.types.includes("application/x-cadenza-take");
  for (const name of ["dragenter", "dragover"]) target.addEventListener(name, (event) => { if (welcome(event)) { event.preventDefault(); $("field-melody").classList.add("dropping"); } });
  for (const name of ["dragleave", "drop"]) target.addEventListener(name, (event) => { if (name === "drop" || !target.contains(event.relatedTarget)) $("field-melody").classList.remove("dropping"); });
  target.addEventListener("drop", (event) => {
    if (!welcome(event)) return;
    event.preventDefault();
    const take = event.dataTransfer.getData("application/x-cadenza-take");
    if (take) choose("melody", JSON.parse(take)); else if (event.dataTransfer.files[0]) bring(event.dataTransfer.files[0], event.dataTransfer.files[0].name);
  });
}

