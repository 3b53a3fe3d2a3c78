// What is being made: one card per generation, followed until it is over; found again after a reload.

import { OVER, connected, follow, get, post, query } from "./api.js";
import { $, button, complain, el, span, speak } from "./dom.js";

/** Tells "over" with the generation as its detail. */
export const jobs = new EventTarget();
const shown = new Map();
let listen = () => {};
let followed = null;

/** `onListen(generation, item)` plays what is being made. */
export function setUpJobs(onListen) {
  listen = onListen;
  setInterval(look, 2000);
}

/** Find what runs or waits, after a reload or from elsewhere. */
export async function findJobs() {
  for (const generation of await underWay()) watch(generation);
}

async function underWay() {
  const pages = await Promise.all(["running", "queued"].map((status) => get(query("/v1/generations", { status, limit: 200 }))));
  return pages.flatMap((page) => [...page.items].reverse());
}

/** Show a generation and follow it. */
export function watch(generation) {
  if (shown.has(generation.id) || OVER.has(generation.status)) return;
  const card = build(generation);
  shown.set(generation.id, card);
  $("jobs").append(card.node);
  $("making").hidden = false;
  card.update(generation);
  attend();
}

/** Follow the first by its events: a browser opens six connections to a server for all of its tabs, so only one of them. */
async function attend() {
  if (followed || !shown.size) return;
  [followed] = shown.keys();
  const id = followed;
  try {
    await follow(id, hear);
  } catch {
    finish({ id, status: "failed", error: null, takes: [] }); // it is not known any more
  }
  followed = null;
  attend();
}

/** The others are looked after together. */
async function look() {
  if (shown.size < 2 || !connected()) return;
  try {
    const open = new Map((await underWay()).map((generation) => [generation.id, generation]));
    for (const id of [...shown.keys()]) if (id !== followed) hear(open.get(id) ?? (await get(`/v1/generations/${id}`)));
  } catch { /* the connection says so itself */ }
}

function hear(generation) {
  shown.get(generation.id)?.update(generation);
  if (OVER.has(generation.status)) finish(generation);
}

function finish(generation) {
  const card = shown.get(generation.id);
  if (!card) return;
  const hadFocus = card.node.contains(document.activeElement);
  card.node.remove();
  shown.delete(generation.id);
  $("making").hidden = shown.size === 0;
  if (hadFocus) $("takes").focus({ preventScroll: true });
  const title = generation.takes[0]?.title ?? "A piece";
  speak({ done: `${title} is done`, cancelled: `${title} was stopped; what there is of it was kept`, failed: `${title} failed` }[generation.status]);
  if (generation.status === "failed" && generation.error) complain("form", generation.error);
  jobs.dispatchEvent(new CustomEvent("over", { detail: generation }));
}

function build(first) {
  const words = Array.isArray(first.asked.text) ? first.asked.text.map(([, text]) => text).join(" → ") : first.asked.text;
  const state = el("p", { class: "facts figures", id: `job-state-${first.id}` });
  const bar = el("progress", { max: 1, value: 0, "aria-label": `Progress of ${words.slice(0, 60)}` });
  const cancel = button("stop", "Stop and keep", async () => {
    cancel.disabled = true;
    try { await post(`/v1/generations/${first.id}/cancel`); } catch (error) { cancel.disabled = false; state.textContent = error.message; }
  }, { text: true, "aria-label": `Stop, and keep what there is of: ${words.slice(0, 60)}` });
  const count = first.items.length;
  const items = el("div", { class: "items row tight wrap", role: "group", "aria-label": "Hear" });
  items.append(...first.items.map((_, item) => button("play", count === 1 ? "Hear it" : `Hear ${item + 1}`, () => listen(latest, item), { text: true })));
  const node = el("li", { class: "job card", "data-job": first.id }, el("div", { class: "grow" }, el("p", { class: "what" }, words), state), el("div", { class: "row tight" }, cancel), bar, items);
  let latest = first, told = 0, heard = null;

  function update(generation) {
    if (heard && generation.status !== heard && generation.status === "running") speak(`${words.slice(0, 60)}: it begins`);
    heard = generation.status;
    latest = generation;
    const { seconds_made: made, seconds_total: total, seconds_left: left, position } = generation;
    const part = total ? Math.min(1, made / total) : 0;
    if (generation.status === "queued" && !made) bar.removeAttribute("value"); else bar.value = part;
    const facts = generation.status === "queued" ? [position === 1 || position === null ? "next in the queue" : `number ${position} in the queue`] : [`${made.toFixed(1)} of ${span(total)}`];
    if (left !== null && left !== undefined) facts.push(left < 1 ? "nearly there" : `about ${span(left)} left`);
    state.textContent = facts.join("  ·  ");
    items.hidden = generation.status === "queued" && !made;
    [...items.children].forEach((child, item) => { child.disabled = !made && generation.takes[item]?.status === "queued"; });
    if (Math.floor(part * 4) > told) { // spoken at the quarters, not at every step
      told = Math.floor(part * 4);
      if (told < 4) speak(`${told * 25} percent${left ? `, about ${span(left)} left` : ""}`);
    }
  }
  return { node, update };
}
