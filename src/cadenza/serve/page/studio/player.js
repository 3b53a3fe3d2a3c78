// The player: one take, or two to compare at the same loudness; waveform, spectrogram, loop.

import WaveSurfer from "/static/vendor/wavesurfer/wavesurfer.esm.js";
import Regions from "/static/vendor/wavesurfer/regions.esm.js";
import { liveSound, soundOf } from "./deck.js";
import { $, clock, colour, complain, recall, remember, setIcon, speak } from "./dom.js";
import { Spectrogram } from "./spectrogram.js";

const COLUMNS = 900;
const NONCE = document.querySelector("meta[name=style-nonce]").content;

/** Tells "change" (what is loaded, or whether it plays). */
export const player = new EventTarget();
const decks = { A: null, B: null }; // {sound, take}
let side = "A";
let surfer = null;
let regions = null;
let wanted = 0; // of several requests to load, the last counts
let actionsFor = () => [];
const spectrogram = new Spectrogram($("spectrum"));
let volume = recall("volume", 1);

const deck = () => decks[side];
export const current = () => deck()?.take ?? null;
export const playing = () => Boolean(deck()?.sound.playing);
const tell = () => player.dispatchEvent(new Event("change"));

export function setActions(make) { actionsFor = make; }

/** Load a finished take; `start` plays it. */
export async function load(take, start = true) {
  await bring(take, () => soundOf(take), start, false);
}

/** Load a take that is being made and play it as it comes. `clicked`: when it was asked for (performance.now()). */
export async function loadLive(generation, item, take, { start = true, clicked = null } = {}) {
  await bring(take, () => liveSound(generation, item), start, true, clicked);
}

async function bring(take, fetchSound, start, isLive, clicked = null) {
  const turn = ++wanted;
  complain("player");
  if (deck()?.take.id === take.id && (isLive || deck().sound.complete)) {
    if (start) await deck().sound.play();
    return;
  }
  deck()?.sound.pause();
  if (decks.B) closeCompare();
  $("player").setAttribute("aria-busy", "true");
  try {
    const sound = await fetchSound();
    if (turn !== wanted) return;
    decks.A = { sound, take, isLive };
    side = "A";
    show();
    if (clicked !== null) sound.addEventListener("began", () => performance.measure("first audio", { start: clicked, end: performance.now() }), { once: true });
    if (start) await sound.play();
  } catch (error) {
    if (turn === wanted) complain("player", error.message);
  } finally {
    if (turn === wanted) $("player").removeAttribute("aria-busy");
  }
}

/** What is known of the loaded take has changed: its name, its star, that it is done. */
export function refresh(take) {
  for (const name of ["A", "B"]) if (decks[name]?.take.id === take.id) decks[name].take = take;
  if (current()?.id === take.id) describe();
  level();
}

/** The take is gone. */
export function unload(id) {
  if (decks.B?.take.id === id) return closeCompare();
  if (decks.A?.take.id !== id) return;
  if (decks.B) { decks.A = decks.B; decks.B = null; side = "A"; $("ab").hidden = true; return show(); }
  decks.A.sound.pause();
  decks.A = null;
  surfer?.destroy();
  surfer = null;
  for (const part of ["screen", "transport"]) $(part).hidden = true;
  $("starters").hidden = false;
  $("player-title").textContent = "Nothing plays now";
  $("player-facts").textContent = "";
  tell();
}

// --------------------------------------------------------------------------------------------------------- what is seen

function show() {
  const { sound } = deck();
  for (const part of ["screen", "transport"]) $(part).hidden = false;
  $("starters").hidden = true;
  describe();
  $("spectrum").hidden = !recall("spectrum", true);
  surfer?.destroy();
  regions = Regions.create();
  surfer = WaveSurfer.create({
    container: $("wave"), media: sound, peaks: [shape(sound)], duration: sound.duration, height: 120, cspNonce: NONCE, plugins: [regions],
    waveColor: colour("--wave"), progressColor: colour("--accent"), cursorColor: colour("--ink"), cursorWidth: 2, barWidth: 3, barGap: 2, barRadius: 2, dragToSeek: false,
  });
  surfer.once("ready", () => { if (sound.loop && !isWhole(sound)) mark(sound.loop); });
  regions.enableDragSelection({ color: `color-mix(in srgb, ${colour("--accent")} 22%, transparent)` }, 6);
  regions.on("region-created", chosen);
  regions.on("region-updated", chosen);
  spectrogram.show(sound);
  spectrogram.update();
  if (!sound.isHeard) {
    sound.isHeard = true;
    for (const event of ["play", "pause", "waiting", "playing", "durationchange"]) sound.addEventListener(event, () => { if (deck()?.sound === sound) { transport(); tell(); } });
    sound.addEventListener("timeupdate", () => { if (deck()?.sound === sound) time(); });
    sound.addEventListener("progress", () => { if (deck()?.sound === sound) grown(); });
  }
  sound.volume = volume;
  level();
  transport();
  tell();
}

const shape = (sound) => {
  const peaks = sound.peaks(COLUMNS), most = Math.max(0.2, peaks.reduce((a, b) => Math.max(a, b), 0));
  return peaks.map((value) => value / most);
};

let drawn = 0;
function grown() {
  const { sound } = deck();
  spectrogram.update();
  const now = performance.now();
  if (!sound.complete && now - drawn < 180) return;
  drawn = now;
  surfer?.load("", [shape(sound)], sound.duration).catch(() => {}); // a later one took its place
  describe();
  time();
}

function describe() {
  const { take, sound } = deck();
  $("player-title").textContent = take.title;
  const facts = [`seed ${take.seed}`, take.model];
  if (!sound.complete) facts.unshift(`arriving, ${clock(sound.made, 0)} of ${clock(sound.duration, 0)}`);
  else if (take.complete === false && take.status !== "running" && take.status !== "queued") facts.unshift("stopped early");
  if (typeof take.loudness_lufs === "number") facts.push(`${take.loudness_lufs.toFixed(1)} LUFS`);
  $("player-facts").textContent = facts.filter(Boolean).join("  ·  ");
  const made = sound.complete && take.status !== "running" && take.status !== "queued";
  const state = `${take.id} ${made} ${take.starred}`;
  if ($("player-actions").dataset.state !== state) {
    $("player-actions").dataset.state = state;
    $("player-actions").replaceChildren(...(made ? actionsFor(take) : []));
  }
}

function transport() {
  const { sound, take } = deck();
  const [name, label] = sound.waiting ? ["wait", "Waiting for more; pause"] : sound.playing ? ["pause", "Pause"] : ["play", "Play"];
  for (const id of ["play", "dock-play"]) setIcon($(id), name, label);
  $("dock-title").textContent = take.title;
  $("dock-title").setAttribute("aria-label", `${take.title}: show the player`);
  const loops = Boolean(sound.loop);
  $("loop").setAttribute("aria-pressed", loops);
  const part = loops && !isWhole(sound);
  $("loop-clear").hidden = !part;
  if (part) $("loop-clear").replaceChildren(`${clock(sound.loop[0])} to ${clock(sound.loop[1])}  ×`);
  if (part) $("loop-clear").setAttribute("aria-label", `Loop all again, not ${clock(sound.loop[0])} to ${clock(sound.loop[1])}`);
  time();
}

function time() {
  const { sound } = deck(), now = sound.currentTime;
  $("now").textContent = clock(now);
  $("total").textContent = clock(sound.duration);
  $("dock-time").textContent = clock(now, 0);
  const wave = $("wave");
  wave.setAttribute("aria-valuemax", sound.duration.toFixed(1));
  wave.setAttribute("aria-valuenow", now.toFixed(1));
  wave.setAttribute("aria-valuetext", `${clock(now)} of ${clock(sound.duration)}`);
}

// ----------------------------------------------------------------------------------------------------------- controls

export async function toggle() {
  const sound = deck()?.sound;
  if (!sound) return;
  if (sound.playing) sound.pause(); else await sound.play();
}

export function seekBy(seconds) { const sound = deck()?.sound; if (sound) { sound.currentTime = sound.currentTime + seconds; time(); } }
function seekTo(seconds) { const sound = deck()?.sound; if (sound) { sound.currentTime = seconds; time(); } }

const isWhole = (sound) => sound.loop && sound.loop[0] === 0 && sound.loop[1] >= sound.duration - 0.01;

export function toggleLoop() {
  const sound = deck()?.sound;
  if (!sound) return;
  loopOver(sound.loop ? null : [0, sound.duration]);
}

function loopOver(range) {
  const { sound } = deck();
  sound.setLoop(range);
  if (!range || isWhole(sound)) regions.clearRegions();
  transport();
  speak(range ? (isWhole(sound) ? "Loop on" : `Looping ${clock(range[0])} to ${clock(range[1])}`) : "Loop off");
}

/** A part was drawn or moved on the waveform. */
function chosen(region) {
  for (const other of regions.getRegions()) if (other !== region) other.remove();
  if (region.end - region.start < 0.1) return region.remove();
  const loop = deck().sound.loop;
  if (loop && Math.abs(loop[0] - region.start) + Math.abs(loop[1] - region.end) < 1e-3) return; // drawn again
  loopOver([region.start, region.end]);
}

function mark(range) {
  regions.clearRegions();
  regions.addRegion({ start: range[0], end: range[1], color: `color-mix(in srgb, ${colour("--accent")} 22%, transparent)` });
}

/** Set one end of the loop to where it plays now. */
export function setLoopEnd(which) {
  const sound = deck()?.sound;
  if (!sound) return;
  const now = sound.currentTime, range = sound.loop ?? [0, sound.duration];
  const next = which === "start" ? [now, range[1] > now + 0.1 ? range[1] : sound.duration] : [range[0] < now - 0.1 ? range[0] : 0, now];
  if (next[1] - next[0] >= 0.1) mark(next); // its creation sets the loop
}

// ---------------------------------------------------------------------------------------------------------------- A and B

/** Put this take beside the one that is loaded. */
export async function compare(take) {
  if (!deck() || deck().take.id === take.id) return load(take, false);
  complain("player");
  const turn = ++wanted;
  try {
    const [sound] = await Promise.all([soundOf(take), settle(deck())]);
    if (turn !== wanted) return;
    if (side === "B") { decks.A = decks.B; side = "A"; }
    decks.B = { sound, take };
    $("ab").hidden = false;
    level();
    flip("B");
  } catch (error) { complain("player", error.message); }
}

/** What was heard while it was made has the model's own level; its file has another, and says how loud that is. */
async function settle(one) {
  if (!one.isLive || !one.sound.complete) return;
  const sound = await soundOf(one.take);
  sound.currentTime = one.sound.currentTime;
  if (one.sound.playing) sound.play();
  one.sound.pause();
  Object.assign(one, { sound, isLive: false });
}

/** Hear the other one, from the same moment on. */
export function flip(to = side === "A" ? "B" : "A") {
  if (!decks.B || to === side) return;
  const from = deck().sound, was = from.playing, at = from.currentTime;
  const next = decks[to].sound;
  next.setLoop(from.loop && (isWhole(from) ? [0, next.duration] : [Math.min(from.loop[0], next.duration - 0.1), Math.min(from.loop[1], next.duration)]));
  from.pause();
  side = to;
  show();
  next.currentTime = Math.min(at, Math.max(0, next.duration - 0.05));
  if (was) next.play();
  for (const node of $("ab").querySelectorAll("[data-side]")) node.setAttribute("aria-pressed", node.dataset.side === side);
  speak(`${side}: ${current().title}`);
}

function closeCompare() {
  if (decks.B && side === "B") decks.A = decks.B;
  decks.B?.sound !== deck()?.sound && decks.B?.sound.pause();
  decks.B = null;
  side = "A";
  $("ab").hidden = true;
  level();
  if (decks.A) show();
}

/** Matched loudness: the louder one comes down to the softer (ITU-R BS.1770, as the takes say), so that neither can clip. */
function level() {
  const match = recall("match", true);
  $("match").setAttribute("aria-pressed", match);
  const known = [decks.A, decks.B].filter(Boolean);
  const lowest = Math.min(...known.map((one) => one.take.loudness_lufs ?? Infinity));
  for (const one of known) {
    const lufs = one.take.loudness_lufs;
    one.sound.setLevel(match && decks.B && Number.isFinite(lufs) && Number.isFinite(lowest) ? 10 ** ((lowest - lufs) / 20) : 1);
  }
  for (const node of $("ab").querySelectorAll("[data-side]")) {
    const take = decks[node.dataset.side]?.take;
    node.querySelector("span").textContent = take ? take.title : "";
    node.setAttribute("aria-label", `${node.dataset.side}: ${take?.title ?? ""}`);
    node.setAttribute("aria-pressed", node.dataset.side === side);
  }
}

/** For tests and for the curious: what the two are turned to, as factors. */
export const levels = () => Object.fromEntries(Object.entries(decks).filter(([, one]) => one).map(([name, one]) => [name, one.sound.level]));

// ------------------------------------------------------------------------------------------------------------- the page

export function setUpPlayer() {
  $("volume").value = volume;
  for (const id of ["play", "dock-play"]) $(id).addEventListener("click", toggle);
  $("loop").addEventListener("click", toggleLoop);
  $("loop-clear").addEventListener("click", () => { loopOver([0, deck().sound.duration]); $("loop").focus(); });
  $("spectrum-toggle").setAttribute("aria-pressed", recall("spectrum", true));
  $("spectrum-toggle").addEventListener("click", () => {
    const on = !recall("spectrum", true);
    remember("spectrum", on);
    $("spectrum-toggle").setAttribute("aria-pressed", on);
    $("spectrum").hidden = !on;
    if (on) spectrogram.update();
  });
  $("volume").addEventListener("input", (event) => {
    volume = Number(event.target.value);
    remember("volume", volume);
    for (const one of [decks.A, decks.B]) if (one) one.sound.volume = volume;
  });
  $("spectrum").addEventListener("click", (event) => { if (deck()) seekTo((event.offsetX / $("spectrum").clientWidth) * deck().sound.duration); });
  $("wave").addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
    if (event.key in steps) seekBy(steps[event.key]);
    else if (event.key === "Home") seekTo(0);
    else if (event.key === "End") seekTo(deck().sound.duration);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  for (const node of $("ab").querySelectorAll("[data-side]")) node.addEventListener("click", () => flip(node.dataset.side));
  $("ab-close").addEventListener("click", closeCompare);
  $("match").addEventListener("click", () => { remember("match", !recall("match", true)); level(); });
  document.addEventListener("themechange", () => surfer?.setOptions({ waveColor: colour("--wave"), progressColor: colour("--accent"), cursorColor: colour("--ink") }));
  let inView = true;
  const dock = () => { $("dock").hidden = inView || !deck(); };
  new IntersectionObserver(([entry]) => { inView = entry.isIntersecting; dock(); }, { rootMargin: "-60px 0px 0px" }).observe($("player"));
  player.addEventListener("change", dock);
  $("dock-title").addEventListener("click", () => { $("player").scrollIntoView({ block: "start" }); $("player-title").focus({ preventScroll: true }); });
}

