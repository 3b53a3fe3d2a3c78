// The form: what is asked for, read and filled again.

import { post } from "./api.js";
import { $, complain, recall, remember, setIcon, speak, span, toast } from "./dom.js";
import { choose, melody, prompt, promptSeconds, setUpSources } from "./sources.js";
import { bar, fault, isTimeline, sections, setUpTimeline, showTimeline } from "./timeline.js";

const STOPS = [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 90, 120, 150, 180, 240, 300, 420, 600];
const NUMBERS = ["guidance", "temperature", "top_k", "top_p"];
const FIELDS = ["text", "duration", "seed", "count", "prompt", "melody", "tempo_bpm", "key", "meter", ...NUMBERS, "model", "tags", "form"];
const MORE = ["tempo_bpm", "key", "meter", ...NUMBERS, "model", "tags"];
let locked = false;
let count = 1;
let longest = 600;

const duration = () => Number($("duration").value);
/** With a prompt the length is what is added; the API counts both. */
const heardSeconds = () => (prompt() ? promptSeconds() ?? prompt().seconds : 0);
const number = (id) => ($(id).value.trim() === "" ? null : Number($(id).value));
const roll = () => Math.floor(Math.random() * 2 ** 31);

/** As POST /v1/generations takes it. */
export function asked() {
  const plan = { tempo_bpm: number("tempo_bpm"), key: $("key").value || null, meter: $("meter").value || null };
  const given = {
    text: isTimeline() ? sections() : $("text").value.trim(),
    duration: Math.round((duration() + heardSeconds()) * 1000) / 1000,
    seed: number("seed"), count, model: $("model").value || null,
    plan: Object.values(plan).some((value) => value !== null) ? plan : null,
    melody: melody()?.id ?? null, prompt: prompt()?.id ?? null, prompt_seconds: promptSeconds(),
    tags: $("tags").value.split(",").map((tag) => tag.trim()).filter(Boolean),
  };
  for (const name of NUMBERS) given[name] = number(name);
  return given;
}

function check() {
  for (const id of FIELDS) complain(id);
  const faults = {};
  if (isTimeline()) faults.text = fault();
  else if (!$("text").value.trim()) faults.text = "Say what it should sound like, or press one of the examples.";
  if (!(duration() >= 1)) faults.duration = "At least one second.";
  else if (duration() + heardSeconds() > longest) faults.duration = `At most ${span(longest)}${prompt() ? ", with what it goes on from" : ""}.`;
  for (const id of ["seed", "tempo_bpm", ...NUMBERS]) if ($(id).validity.badInput || $(id).validity.rangeUnderflow || $(id).validity.rangeOverflow || (id === "seed" && $(id).validity.stepMismatch)) faults[id] = $(id).validationMessage;
  return show(faults);
}

/** Lines where they belong; true if there were none. */
function show(faults) {
  const found = Object.entries(faults).filter(([, line]) => line);
  for (const [id, line] of found) complain(id, line);
  if (found.some(([id]) => MORE.includes(id))) $("more").open = true;
  if (found.length) (document.querySelector("#compose [aria-invalid=true]") ?? $("generate")).focus();
  return !found.length;
}

/** Fill the form with what made a take; `seed` its own. `heard`: what it listened to, as `choose` takes it. */
export function restore(given, seed, heard = {}) {
  const timeline = Array.isArray(given.text);
  if (timeline) showTimeline(true, given.text); else { showTimeline(false); $("text").value = given.text ?? ""; }
  setCount(1);
  if (seed !== null && seed !== undefined) { $("seed").value = seed; setLock(true); }
  for (const name of NUMBERS) $(name).value = given[name] ?? "";
  for (const name of ["tempo_bpm", "key", "meter"]) {
    const value = given.plan?.[name] ?? "";
    if ($(name).tagName === "SELECT" && value && ![...$(name).options].some((option) => option.value === value)) $(name).append(new Option(value, value));
    $(name).value = value;
  }
  $("model").value = [...$("model").options].some((option) => option.value === given.model) ? given.model : "";
  $("tags").value = (given.tags ?? []).join(", ");
  choose("melody", heard.melody ?? null);
  choose("prompt", heard.prompt ?? null, given.prompt_seconds);
  setDuration(Math.max(1, (given.duration ?? 10) - heardSeconds()));
  changed();
}

/** Go on from a take: its words and settings, its sound as the beginning. */
export function goOn(take) {
  choose("prompt", { id: take.id, name: take.title, seconds: take.duration, isTake: true });
  if (!isTimeline() && !$("text").value.trim()) $("text").value = take.text;
  changed();
  const field = isTimeline() ? $("part-0") : $("text");
  field.focus();
  field.scrollIntoView({ block: "nearest" });
  speak(`Going on from ${take.title}. Say what comes next.`);
}

export function useMelody(take) {
  choose("melody", { id: take.id, name: take.title, seconds: take.duration, isTake: true });
  $("field-melody").scrollIntoView({ block: "nearest" });
  speak(`Melody of ${take.title}`);
}

function setDuration(seconds) {
  $("duration").value = Math.round(seconds * 100) / 100;
  slide();
}

function slide() {
  const slider = $("duration-slider"), stops = STOPS.filter((stop) => stop <= longest);
  slider.max = stops.length - 1;
  slider.step = 1;
  let nearest = 0;
  stops.forEach((stop, i) => { if (Math.abs(stop - duration()) < Math.abs(stops[nearest] - duration())) nearest = i; });
  slider.value = nearest;
  slider.setAttribute("aria-valuetext", span(duration() || 1));
}

function setCount(value) {
  count = Math.max(1, Math.min(8, value));
  $("count").textContent = count;
  $("fewer").disabled = count === 1;
  $("more-count").disabled = count === 8;
  $("generate").firstElementChild.textContent = count === 1 ? "Generate" : `Generate ${count}`;
}

function setLock(on) {
  locked = on;
  $("lock").setAttribute("aria-pressed", on);
  setIcon($("lock"), on ? "locked" : "lock");
}

/** The longest piece, as the models say. */
export function setLongest(seconds) { longest = seconds; $("duration").max = seconds; slide(); }

function changed() {
  $("duration-label").textContent = prompt() ? "New music" : "Length";
  $("duration-note").textContent = prompt() && duration() ? `${span(heardSeconds() + duration())} with what it goes on from` : "";
  const set = MORE.filter((id) => $(id).value).length;
  $("more-note").textContent = $("more").open || !set ? "" : `${set} chosen`;
  bar();
  remember("draft", { ...asked(), length: duration(), timeline: isTimeline(), locked });
}

/** `submit` receives what is asked for and when the button was pressed; it raises ApiError for what is refused. */
export function setUpCompose(submit) {
  setUpTimeline(duration, () => changed());
  setUpSources(() => changed());
  $("shape-one").addEventListener("click", () => showTimeline(false));
  $("shape-timeline").addEventListener("click", () => { if (duration() < 20) setDuration(30); showTimeline(true); });
  $("duration").addEventListener("input", slide);
  $("duration-slider").addEventListener("input", () => { $("duration").value = STOPS[Number($("duration-slider").value)]; slide(); changed(); });
  $("dice").addEventListener("click", () => { $("seed").value = roll(); complain("seed"); changed(); speak(`Seed ${$("seed").value}`); });
  $("lock").addEventListener("click", () => { if (!locked && !$("seed").value) $("seed").value = roll(); setLock(!locked); changed(); });
  $("seed").addEventListener("input", () => setLock($("seed").value !== ""));
  $("fewer").addEventListener("click", () => setCount(count - 1));
  $("more-count").addEventListener("click", () => setCount(count + 1));
  $("compose").addEventListener("input", (event) => { const id = event.target.id?.replace(/^part-\d+$/, "text"); if (FIELDS.includes(id)) complain(id); complain("form"); changed(); });
  $("more").addEventListener("toggle", () => { changed(); if ($("more").open && document.activeElement === $("more").querySelector("summary")) $("more").scrollIntoView({ block: "nearest" }); });
  $("reset").addEventListener("click", () => { for (const id of MORE) { $(id).value = ""; complain(id); } changed(); });
  $("restore-file").addEventListener("change", (event) => { const [file] = event.target.files; if (file) fromFile(file); event.target.value = ""; });
  $("compose").addEventListener("submit", (event) => { event.preventDefault(); send(submit); });
  const draft = recall("draft", null);
  setCount(1);
  setLock(false);
  if (draft) {
    if (draft.timeline) showTimeline(true, draft.text); else $("text").value = draft.text || "";
    $("duration").value = draft.length || 10;
    for (const name of [...NUMBERS]) $(name).value = draft[name] ?? "";
    $("tempo_bpm").value = draft.plan?.tempo_bpm ?? "";
    if (draft.locked && draft.seed !== null) { $("seed").value = draft.seed; setLock(true); }
  }
  slide();
}

let isSending = false;
async function send(submit) {
  if (isSending) return;
  const clicked = performance.now();
  if (!locked) $("seed").value = roll();
  if (!check()) return;
  isSending = true;
  $("generate").setAttribute("aria-busy", "true");
  try {
    await submit(asked(), clicked);
  } catch (error) {
    const id = FIELDS.includes(error.field) ? error.field : error.field === "prompt_seconds" ? "prompt" : "form";
    show({ [id]: error.message });
  } finally {
    isSending = false;
    $("generate").removeAttribute("aria-busy");
  }
}

/** Settings of a file that Cadenza wrote. */
async function fromFile(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  complain("form");
  try {
    const found = await post("/v1/takes/import", form);
    restore(found.asked ?? found, (found.asked ?? found).seed ?? found.seed);
    toast(`As in ${file.name}`);
  } catch (error) { complain("form", error.message); }
}
