// The takes: searched, filtered, a page at a time; deleted with a way back.

import { get, query } from "./api.js";
import { $, complain, el, recall, remember, speak, toast } from "./dom.js";
import { removeTake, takeNode } from "./take.js";

const PAGE = 30;
const UNDO_MS = 7000;
const ORDERS = { newest: "Newest", oldest: "Oldest", title: "Name", longest: "Longest" };
const nodes = new Map();
const leaving = new Map(); // id -> timer: deleted here, not yet there
const tags = new Set();
let acts = {};
let cursor = null;
let tag = null;
let asking = 0;

/** `given`: what a take's buttons do, but for deleting. */
export function setUpLibrary(given) {
  acts = { ...given, remove };
  $("sort").append(...Object.entries(ORDERS).map(([value, name]) => el("option", { value }, name)));
  $("sort").value = recall("sort", "newest") in ORDERS ? recall("sort", "newest") : "newest";
  $("sort").addEventListener("change", () => { remember("sort", $("sort").value); refreshTakes(); });
  let typing;
  $("query").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(refreshTakes, 180); });
  $("filter").addEventListener("submit", (event) => { event.preventDefault(); refreshTakes(); });
  $("only-starred").addEventListener("click", () => { $("only-starred").setAttribute("aria-pressed", $("only-starred").getAttribute("aria-pressed") !== "true"); refreshTakes(); });
  $("takes-more").addEventListener("click", () => more());
  document.addEventListener("themechange", () => { for (const one of nodes.values()) one.draw(); });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; for (const one of nodes.values()) one.draw(); } });
  // Whoever leaves has not asked to undo.
  addEventListener("pagehide", () => { for (const [id, timer] of leaving) { clearTimeout(timer); removeTake(id, { keepalive: true }).catch(() => {}); } });
}

const starred = () => $("only-starred").getAttribute("aria-pressed") === "true";
const isFiltered = () => Boolean($("query").value.trim() || starred() || tag);
const page = () => get(query("/v1/takes", { query: $("query").value.trim(), starred: starred() ? "true" : null, tag, sort: $("sort").value, limit: PAGE, cursor }));

/** The list anew; takes in `fresh` are shown as just arrived. */
export async function refreshTakes(fresh = []) {
  const turn = ++asking;
  cursor = null;
  complain("takes");
  try {
    const found = await page();
    if (turn !== asking) return;
    const keep = new Map(nodes);
    nodes.clear();
    const list = found.items.filter(isShown).map((take) => hold(take, keep.get(take.id)));
    if (Array.isArray(fresh)) for (const one of list) if (fresh.includes(one.take.id)) one.node.classList.add("fresh");
    $("take-list").replaceChildren(...list.map((one) => one.node));
    settle(found);
  } catch (error) { if (turn === asking) complain("takes", error.message); }
}

async function more() {
  const turn = ++asking;
  try {
    const found = await page();
    if (turn !== asking) return;
    const list = found.items.filter((take) => isShown(take) && !nodes.has(take.id)).map((take) => hold(take));
    $("take-list").append(...list.map((one) => one.node));
    settle(found);
    list[0]?.node.querySelector("button")?.focus({ preventScroll: true });
  } catch (error) { complain("takes", error.message); }
}

/** Takes that are still being made stand above, among the jobs. */
const isShown = (take) => take.status !== "queued" && take.status !== "running" && !leaving.has(take.id);

function hold(take, one = null) {
  if (one) one.replace(take); else one = takeNode(take, acts);
  nodes.set(take.id, one);
  take.tags.forEach((name) => tags.add(name));
  return one;
}

function settle(found) {
  cursor = found.next;
  $("takes-more").hidden = !found.next;
  empty();
  $("tag-filter").hidden = tags.size === 0;
  $("tag-filter").replaceChildren(...[...tags].sort().map((name) => el("button", { type: "button", "aria-pressed": tag === name, on: { click: () => { tag = tag === name ? null : name; refreshTakes(); } } }, `#${name}`)));
  if (isFiltered()) speak(`${nodes.size} takes`);
  acts.shown();
}

function empty() {
  $("takes-empty").hidden = nodes.size > 0;
  $("takes-empty").textContent = isFiltered() ? "No take is like that." : "What you make is kept here, with everything needed to make it again.";
}

export const findTake = (id) => nodes.get(id)?.take ?? null;
export function replaceTake(take) { nodes.get(take.id)?.replace(take); take.tags.forEach((name) => tags.add(name)); }
export function markTakes(current, isPlaying) { for (const [id, one] of nodes) one.mark(id === current, isPlaying); }

/** Gone from the list at once, from the disk a little later. */
function remove(take, node) {
  const next = node.nextElementSibling ?? node.previousElementSibling;
  node.hidden = true;
  nodes.delete(take.id);
  empty();
  (next?.querySelector("button") ?? $("takes")).focus({ preventScroll: true });
  acts.removed(take);
  const timer = setTimeout(async () => {
    leaving.delete(take.id);
    try { await removeTake(take.id); node.remove(); } catch (error) { toast(error.message); refreshTakes(); }
  }, UNDO_MS);
  leaving.set(take.id, timer);
  speak(`${take.title} deleted. Undo is at hand.`);
  toast(`Deleted “${take.title.slice(0, 40)}”`, ["Undo", () => {
    clearTimeout(timer);
    leaving.delete(take.id);
    refreshTakes([take.id]);
  }], UNDO_MS - 200);
}
