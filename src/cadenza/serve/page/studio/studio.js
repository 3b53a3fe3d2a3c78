// The studio's page: the parts, put together.

import { ApiError, ask, connection, get, patch, post } from "./api.js";
import { goOn, restore, setUpCompose, useMelody } from "./compose.js";
import { $, button, complain, el, fillIcons, setIcon, speak, toast } from "./dom.js";
import { findJobs, jobs, setUpJobs, watch } from "./jobs.js";
import { setUpKeys } from "./keys.js";
import { findTake, markTakes, refreshTakes, replaceTake, setUpLibrary } from "./library.js";
import { models, refreshModels, setUpModels } from "./models.js";
import * as sound from "./player.js";
import { contextFor } from "./sound.js";
import { known } from "./sources.js";
import { renderAgain } from "./take.js";
import { refreshWords, setUpWords } from "./words.js";

/** Submit, follow, and listen at once, unless something else is being listened to. */
async function generate(asked, clicked) {
  const rate = models.find((model) => model.name === asked.model || (!asked.model && model.default))?.sample_rate;
  contextFor(rate ?? 32000).resume(); // a browser allows sound while the click is fresh
  const generation = await post("/v1/generations", asked);
  begin(generation, !sound.playing(), clicked);
}

function begin(generation, start, clicked = null) {
  speak("Asked for");
  watch(generation);
  if (start) listen(generation, 0, clicked);
}

const listen = (generation, item, clicked = null) => sound.loadLive(generation, item, generation.takes[item], { clicked });

const play = (take) => (sound.current()?.id === take.id ? sound.toggle() : sound.load(take));

/** The form as it was for a take, with what that listened to, if it is still here. */
async function settings(take) {
  const heard = {};
  const gone = [];
  try {
    for (const [kind, word] of [["melody", "its melody"], ["prompt", "what it goes on from"]]) {
      const id = take.asked[kind];
      const other = id && findTake(id);
      heard[kind] = other ? { id, name: other.title, seconds: other.duration, isTake: true } : id ? await known(id) : null;
      if (id && !heard[kind]) gone.push(word);
    }
  } catch (error) { return toast(error.message); }
  restore(take.asked, take.seed, heard);
  $("text").focus();
  toast(`The settings of “${take.title.slice(0, 40)}”${gone.length ? `; ${gone.join(" and ")} is no longer kept` : ""}`);
}

async function again(take) {
  try { begin(await renderAgain(take), false); toast("It is being made again, from the same seed"); } catch (error) { toast(error.message); }
}

async function star() {
  const take = sound.current();
  if (!take) return;
  try { changed(await patch(`/v1/takes/${take.id}`, { starred: !take.starred })); speak(take.starred ? "No star" : "Starred"); } catch (error) { toast(error.message); }
}

function changed(take) {
  replaceTake(take);
  sound.refresh(take);
}

/** The buttons beside the player. */
function playerActions(take) {
  const starred = button("star", take.starred ? "Take the star away" : "Star", star, { "aria-pressed": take.starred });
  starred.classList.toggle("starred", take.starred);
  return [
    starred,
    button("forward", "Go on from it", () => goOn(take), { text: true }),
    button("sliders", "Its settings", () => settings(take), { text: true }),
    el("a", { class: "button soft small", href: `/v1/takes/${take.id}/audio?format=flac&download=1`, download: "", "aria-label": "Download as FLAC" }, "FLAC"),
    el("a", { class: "button soft small", href: `/v1/takes/${take.id}/audio?format=mp3&download=1`, download: "", "aria-label": "Download as MP3" }, "MP3"),
  ];
}

async function refreshAll() {
  await Promise.all([findJobs(), refreshTakes(), refreshModels()]);
}

function setUpConnection() {
  connection.addEventListener("lost", () => {
    $("connection").textContent = "The studio is away; waiting for it …";
    $("connection").classList.add("lost");
    const retry = setInterval(() => { get("/v1/health").then(() => clearInterval(retry), () => {}); }, 1500);
  });
  connection.addEventListener("found", () => {
    $("connection").textContent = "Connected again";
    $("connection").classList.remove("lost");
    setTimeout(() => { if (!$("connection").classList.contains("lost")) $("connection").textContent = ""; }, 3000);
    refreshAll().catch(() => {});
  });
  connection.addEventListener("key", () => { if (!$("session").open) $("session").showModal(); });
  $("session-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    complain("session");
    try {
      await ask("POST", "/v1/session", undefined, { headers: { Authorization: `Bearer ${$("session-key").value.trim()}` } });
      $("session-key").value = "";
      $("session").close();
      await start();
    } catch (error) { complain("session", error.message); }
  });
}

function setUpTheme() {
  const names = { system: ["system", "Theme: as the system has it"], light: ["sun", "Theme: light"], dark: ["moon", "Theme: dark"] };
  const show = () => setIcon($("theme"), ...names[document.documentElement.dataset.wish]);
  $("theme").title = "Theme";
  $("theme").addEventListener("click", () => { window.cadenzaTheme.next(); speak(names[document.documentElement.dataset.wish][1]); });
  document.addEventListener("themechange", show);
  show();
}

async function start() {
  try {
    await Promise.all([refreshAll(), refreshWords()]);
  } catch (error) {
    if (!(error instanceof ApiError && (error.status === 401 || error.status === 0))) complain("form", error.message);
  }
  document.documentElement.dataset.ready = "yes";
}

fillIcons();
setUpTheme();
setUpConnection();
sound.setActions(playerActions);
sound.setUpPlayer();
setUpCompose(generate);
setUpModels();
setUpWords();
setUpJobs(listen);
setUpLibrary({
  play, goOn, restore: settings, melody: useMelody, render: again, changed: (take) => sound.refresh(take), compare: sound.compare,
  removed: (take) => sound.unload(take.id), shown: () => markTakes(sound.current()?.id, sound.playing()),
});
sound.player.addEventListener("change", () => markTakes(sound.current()?.id, sound.playing()));
jobs.addEventListener("over", async ({ detail: generation }) => {
  for (const take of generation.takes) sound.refresh(take);
  await refreshTakes(generation.takes.map((take) => take.id));
});
setUpKeys({
  " ": ["play or pause", sound.toggle],
  ArrowLeft: ["one second back", () => sound.seekBy(-1)],
  ArrowRight: ["one second on", () => sound.seekBy(1)],
  l: ["loop", sound.toggleLoop],
  "[": ["the loop begins here", () => sound.setLoopEnd("start")],
  "]": ["the loop ends here", () => sound.setLoopEnd("end")],
  x: ["compare: A or B", () => sound.flip()],
  s: ["star what plays", star],
  g: ["write", () => $("text").focus()],
  "/": ["search", () => $("query").focus()],
  "?": ["this list", () => $("keys").showModal()],
}, () => $("compose").requestSubmit());
document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshAll().catch(() => {}); });
start();
