// Hints while one writes: words that the model knows by name, and whole examples.

import { get } from "./api.js";
import { $, el, icon } from "./dom.js";
import { focusedPart, isTimeline } from "./timeline.js";

export let vocabulary = { genres: [], instruments: [], moods: [], keys: [], meters: [], examples: [] };
let kind = "examples";
let offset = 0;

const target = () => (isTimeline() ? focusedPart() : $("text"));

export function setUpWords() {
  for (const node of document.querySelectorAll("[data-words]")) node.addEventListener("click", () => { kind = node.dataset.words; show(); });
  $("compose").addEventListener("input", (event) => { if (event.target === $("text") || event.target.id?.startsWith("part-")) show(); });
}

/** Ask for the words and show them. */
export async function refreshWords() {
  vocabulary = { ...vocabulary, ...(await get("/v1/vocabulary")) };
  fill($("key"), vocabulary.keys);
  fill($("meter"), vocabulary.meters.length ? vocabulary.meters : ["4/4", "3/4", "6/8", "5/4"]);
  offset = Math.floor(Math.random() * Math.max(1, vocabulary.examples.length));
  show();
  starters();
}

function fill(select, values) { select.replaceChildren(select.options[0], ...values.map((value) => el("option", { value }, value))); }

const turn = (list, count) => list.length <= count ? list : Array.from({ length: count }, (_, i) => list[(offset + i) % list.length]);

/** Words that go on from the letters just written, or those of the kind that is chosen. */
function show() {
  const written = /([\p{L}-]{2,})$/u.exec(target().value.slice(0, target().selectionStart ?? undefined))?.[1].toLowerCase();
  const known = [...vocabulary.genres, ...vocabulary.instruments, ...vocabulary.moods];
  const matching = written ? known.filter((word) => word.toLowerCase().startsWith(written) && word.toLowerCase() !== written).slice(0, 8) : [];
  for (const node of document.querySelectorAll("[data-words]")) node.setAttribute("aria-pressed", !matching.length && node.dataset.words === kind);
  if (matching.length) return list(matching, (word) => put(word, written.length));
  if (kind !== "examples") return list(vocabulary[kind], (word) => put(word, 0));
  list(turn(vocabulary.examples, 3), (text) => { target().value = text; target().dispatchEvent(new Event("input", { bubbles: true })); target().focus(); });
}

function list(words, act) { $("words").replaceChildren(...words.map((word) => el("button", { type: "button", on: { click: () => act(word) } }, word))); }

/** A word at the end, in place of its first `typed` letters. */
function put(word, typed) {
  const input = target(), before = input.value.slice(0, input.value.length - typed);
  const joint = typed || !before.trim() ? "" : /[,\s]$/.test(before) ? "" : ", ";
  input.value = before + joint + word;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.focus();
}

/** Three ways to begin, in the empty player; a click writes the words and presses the button. */
function starters() {
  $("starters").replaceChildren(...turn(vocabulary.examples, 3).map((text) => el("button", { type: "button", on: { click: () => { $("text").value = text; $("compose").requestSubmit(); } } }, icon("spark"), el("span", {}, text))));
}
