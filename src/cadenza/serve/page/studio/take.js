// One take of the library: its line, what made it, and all that can be done with it.

import { ask, get, patch, post } from "./api.js";
import { ago, button, clock, el, icon, setIcon, toast } from "./dom.js";
import { drawPeaks } from "./spectrogram.js";

export const FORMATS = ["wav", "flac", "mp3", "opus"];
const KINDS = { wav: "audio/wav", flac: "audio/flac", mp3: "audio/mpeg", opus: "audio/ogg" };
const peaksKnown = new Map();

const soundPath = (take, format) => `/v1/takes/${take.id}/audio?format=${format}&download=1`;
const fileName = (take, format) => `${take.title.replace(/[^\p{L}\p{N} _-]+/gu, "").trim().slice(0, 60) || "take"} ${take.seed}.${format}`;

/** Links that save the take in each format; they can be dragged out of the page too. */
export function downloads(take) {
  return FORMATS.map((format) => el("a", {
    class: "button soft small", href: soundPath(take, format), download: fileName(take, format), draggable: "true",
    "aria-label": `Download ${take.title} as ${format.toUpperCase()}`, on: { dragstart: (event) => dragOut(event, take, format) },
  }, format.toUpperCase()));
}

export function dragOut(event, take, format = "wav") {
  const address = new URL(soundPath(take, format), location.href).href;
  event.dataTransfer.setData("DownloadURL", `${KINDS[format]}:${fileName(take, format)}:${address}`);
  event.dataTransfer.setData("text/uri-list", address);
  event.dataTransfer.setData("application/x-cadenza-take", JSON.stringify({ id: take.id, name: take.title, seconds: take.duration, isTake: true }));
  event.dataTransfer.effectAllowed = "copy";
}

/** `acts`: play, goOn, melody, restore, compare, render, remove, changed. */
export function takeNode(take, acts) {
  const node = el("li", { class: "take", "data-take": take.id });
  const canvas = el("canvas", { draggable: "true", "aria-hidden": "true", title: "Drag it out", on: { dragstart: (event) => dragOut(event, take), click: () => acts.play(take) } });
  const play = button("play", `Play ${take.title}`, () => acts.play(take));
  play.classList.add("go-play");
  const star = button("star", `Star ${take.title}`, async () => change({ starred: !take.starred }), { "aria-pressed": take.starred });
  star.classList.toggle("starred", take.starred);
  const more = button("more", `More about ${take.title}`, () => toggle(), { "aria-expanded": "false", "aria-controls": `take-${take.id}` });
  const box = el("div", { class: "open", id: `take-${take.id}`, hidden: true });
  const facts = el("p", { class: "facts" });
  const title = el("span", { class: "title" });
  node.append(el("div", { class: "line" }, play, el("div", { class: "grow" }, title, facts), canvas, el("div", { class: "side" }, star, more)), box);
  describe();
  if (!take.duration) { play.disabled = true; canvas.hidden = true; }

  function describe() {
    title.textContent = take.title;
    const short = { cancelled: "stopped early", failed: "failed" }[take.status] ?? (take.complete ? null : "stopped early");
    facts.replaceChildren(el("span", {}, clock(take.duration)), ...(short ? [el("span", { class: "badge" }, short)] : []), el("span", {}, ago(take.created)), el("span", {}, `seed ${take.seed}`), ...take.tags.map((tag) => el("span", { class: "tag" }, tag)));
    star.setAttribute("aria-pressed", take.starred);
    star.classList.toggle("starred", take.starred);
    for (const [control, word] of [[play, "Play"], [star, "Star"], [more, "More about"]]) control.setAttribute("aria-label", `${word} ${take.title}`);
  }

  async function change(values) {
    try {
      take = await patch(`/v1/takes/${take.id}`, values);
      describe();
      if (!box.hidden) open();
      acts.changed(take);
    } catch (error) { toast(error.message); }
  }

  function toggle() {
    box.hidden = !box.hidden;
    more.setAttribute("aria-expanded", !box.hidden);
    if (!box.hidden) open();
  }

  function open() {
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    const asked = take.asked ?? {};
    const about = { Seed: take.seed, Model: take.model, Loudness: typeof take.loudness_lufs === "number" ? `${take.loudness_lufs.toFixed(1)} LUFS` : null, Guidance: asked.guidance, Temperature: asked.temperature, "Top k": asked.top_k, "Top p": asked.top_p, Tempo: asked.plan?.tempo_bpm && `${asked.plan.tempo_bpm} bpm`, Key: asked.plan?.key, Meter: asked.plan?.meter, Melody: asked.melody && "yes", "Goes on from": asked.prompt && "another take", Sound: `${(take.sample_rate / 1000).toFixed(1).replace(".0", "")} kHz, ${take.channels === 1 ? "mono" : "stereo"}`, Error: take.error };
    const named = (label, input) => el("label", { class: "named" }, el("span", { class: "note" }, label), input);
    const words = Array.isArray(asked.text) ? asked.text.map(([at, text]) => `${clock(at, 0)} ${text}`).join("\n") : take.text;
    const rename = el("input", { type: "text", class: "rename", value: take.title, maxlength: 200, "data-focus": "name", on: { change: (event) => { if (event.target.value.trim()) change({ title: event.target.value.trim() }); } } });
    const tagger = el("input", { type: "text", placeholder: "add one, Enter", maxlength: 40, "data-focus": "tag", on: { keydown: (event) => { if (event.key === "Enter" && event.target.value.trim()) { event.preventDefault(); change({ tags: [...new Set([...take.tags, event.target.value.trim()])] }); } } } });
    box.replaceChildren(
      words.trim() === take.title ? "" : el("p", { class: "words-asked" }, ...words.split("\n").flatMap((line, i) => (i ? [el("br"), line] : [line]))),
      el("div", { class: "row tight wrap" },
        take.duration ? button("forward", "Go on from it", () => acts.goOn(take), { text: true }) : null,
        button("sliders", "Its settings", () => acts.restore(take), { text: true }),
        take.duration ? button("file", "Its melody", () => acts.melody(take), { text: true }) : null,
        take.duration ? button("balance", "Compare", () => acts.compare(take), { text: true }) : null,
        button("again", "Make it again", () => acts.render(take), { text: true }),
        button("trash", "Delete", () => acts.remove(take, node), { text: true, "aria-label": `Delete ${take.title}` })),
      take.duration ? el("div", { class: "row tight wrap", role: "group", "aria-label": "Download" }, icon("download"), ...downloads(take)) : "",
      el("dl", {}, ...Object.entries(about).filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))),
      el("div", { class: "row wrap" }, named("Name", rename), el("div", { class: "tags-edit" }, named("Tags", tagger), ...take.tags.map((tag) => el("button", { type: "button", class: "soft", "aria-label": `Take the tag ${tag} away`, on: { click: () => change({ tags: take.tags.filter((other) => other !== tag) }) } }, `#${tag}  ×`)))));
    if (focused) box.querySelector(`[data-focus=${focused}]`)?.focus();
  }

  async function draw() {
    if (!take.duration || !canvas.clientWidth) return;
    try {
      if (!peaksKnown.has(take.id)) peaksKnown.set(take.id, (await get(`/v1/takes/${take.id}/peaks`)).peaks);
      drawPeaks(canvas, peaksKnown.get(take.id));
    } catch { /* its line is there without a picture */ }
  }
  new IntersectionObserver((entries, observer) => { if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); draw(); } }).observe(node);

  return {
    node, draw,
    get take() { return take; },
    replace(next) { take = next; describe(); if (!box.hidden) open(); },
    mark(isCurrent, isPlaying) {
      node.classList.toggle("current", isCurrent);
      setIcon(play, isCurrent && isPlaying ? "pause" : "play", `${isCurrent && isPlaying ? "Pause" : "Play"} ${take.title}`);
    },
  };
}

export const renderAgain = (take) => post(`/v1/takes/${take.id}/render`);
export const removeTake = (id, options) => ask("DELETE", `/v1/takes/${id}`, undefined, options);
