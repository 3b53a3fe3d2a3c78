// A timeline of prompts: what is heard from which second on.

import { $, button, clock, el } from "./dom.js";

let parts = [{ at: 0, text: "" }, { at: 15, text: "" }];
let total = () => 30;
let changed = () => {};

/** `length` answers the length of the piece in seconds; `onChange` hears of every change. */
export function setUpTimeline(length, onChange) {
  total = length;
  changed = onChange;
}

export const isTimeline = () => !$("timeline").hidden;

/** Show the timeline (with the one prompt as its first part) or the one prompt. */
export function showTimeline(on, sections = null) {
  if (sections) parts = sections.map(([at, text]) => ({ at, text }));
  else if (on && !isTimeline()) parts[0].text ||= $("text").value;
  else if (!on && isTimeline()) $("text").value ||= parts[0].text;
  $("timeline").hidden = !on;
  $("text").hidden = on;
  $("shape-one").setAttribute("aria-pressed", !on);
  $("shape-timeline").setAttribute("aria-pressed", on);
  document.querySelector("label[for=text], label[data-for-text]").htmlFor = on ? "part-0" : "text";
  if (on) draw();
  changed();
}

/** As the API takes it: [[seconds, text], ...], in order. */
export const sections = () => parts.map(({ at, text }) => [at, text.trim()]).sort((a, b) => a[0] - b[0]);

/** What is wrong with it, in one line; "" if nothing. */
export function fault() {
  const times = parts.map(({ at }) => at);
  if (!parts.every(({ text }) => text.trim())) return "Every part needs its words, or take it away.";
  if (new Set(times).size < times.length) return "Two parts begin at the same second: move one.";
  if (Math.min(...times) !== 0) return "The first part begins at 0.";
  if (Math.max(...times) >= total()) return `A part begins at ${clock(Math.max(...times), 0)}, but the piece ends at ${clock(total(), 0)}: make it longer.`;
  return "";
}

/** The text box that suggestions go to. */
export const focusedPart = () => document.querySelector("#timeline .part input:focus") ?? [...document.querySelectorAll("#timeline .part input[type=text]")].find((input) => !input.value) ?? $("part-0");

function draw(focus = null) {
  const rows = parts.map((part, i) => el("div", { class: "part", role: "group", "aria-label": `Part ${i + 1}` },
    el("span", { class: "unit" }, el("input", { type: "number", min: 0, step: "any", value: part.at, disabled: i === 0, "aria-label": `Part ${i + 1} begins at, seconds`, on: { input: (event) => { part.at = Number(event.target.value); bar(); changed(); } } }), el("span", { "aria-hidden": "true" }, "s")),
    el("input", { type: "text", id: `part-${i}`, value: part.text, maxlength: 4000, placeholder: i ? "then …" : "it begins with …", "aria-label": `Part ${i + 1}, words`, "aria-describedby": "text-error", on: { input: (event) => { part.text = event.target.value; bar(); changed(); } } }),
    i === 0 ? el("span") : button("close", `Take part ${i + 1} away`, () => { parts.splice(i, 1); draw(`part-${Math.max(0, i - 1)}`); changed(); })));
  const add = button("plus", "Add a part", () => {
    const last = Math.max(...parts.map(({ at }) => at));
    parts.push({ at: Math.round((last + Math.max(last + 2, total())) / 2), text: "" });
    draw(`part-${parts.length - 1}`);
    changed();
  }, { text: true });
  $("timeline").replaceChildren(el("div", { class: "bar", "aria-hidden": "true" }), ...rows, el("div", {}, add));
  bar();
  if (focus) $(focus)?.focus();
}

/** How the parts share the time. */
export function bar() {
  const box = document.querySelector("#timeline .bar");
  if (!box) return;
  const ordered = sections(), end = Math.max(total(), ...ordered.map(([at]) => at));
  box.replaceChildren(...ordered.map(([at, text], i) => {
    const part = el("span", {}, text || clock(at, 0));
    part.style.flexGrow = Math.max(0.01, (ordered[i + 1]?.[0] ?? end) - at);
    part.style.flexBasis = "0";
    return part;
  }));
}
