// Small things that build and speak: elements, icons, lines of error, messages, remembered choices.

const PATHS = {
  play: '<path class="full" d="M8 5.200v13.600a.8.8 0 0 0 1.200.7l10.800-6.800a.8.8 0 0 0 0-1.400L9.200 4.500a.8.8 0 0 0-1.200.7z"/>',
  pause: '<path class="full" d="M7 5h3.400v14H7zM13.600 5H17v14h-3.400z"/>',
  wait: '<path d="M12 4a8 8 0 1 1-8 8"/>',
  loop: '<path d="M17 3l3 3-3 3M20 6H8a4 4 0 0 0-4 4v1M7 21l-3-3 3-3M4 18h12a4 4 0 0 0 4-4v-1"/>',
  spectrum: '<path d="M4 20h16M6 16v-4M10 16V7M14 16v-6M18 16V4"/>',
  volume: '<path d="M4 9.500v5h3.500L12 18.500v-13L7.500 9.500zM15.500 9a4 4 0 0 1 0 6M18 6.500a7.500 7.500 0 0 1 0 11"/>',
  star: '<path class="star" d="M12 3.800l2.500 5.100 5.600.8-4 4 .9 5.600-5-2.700-5 2.700.9-5.600-4-4 5.600-.8z"/>',
  close: '<path d="M6 6l12 12M18 6L6 18"/>',
  plus: '<path d="M12 5v14M5 12h14"/>',
  minus: '<path d="M5 12h14"/>',
  dice: '<rect x="4" y="4" width="16" height="16" rx="3.500"/><g class="full"><circle class="full" cx="8.800" cy="8.800" r="1.400"/><circle class="full" cx="15.200" cy="8.800" r="1.400"/><circle class="full" cx="12" cy="12" r="1.400"/><circle class="full" cx="8.800" cy="15.200" r="1.400"/><circle class="full" cx="15.200" cy="15.200" r="1.400"/></g>',
  lock: '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 7.600-1.700"/>',
  locked: '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
  mic: '<rect x="9" y="3.500" width="6" height="11" rx="3"/><path d="M5.500 11.500a6.500 6.500 0 0 0 13 0M12 18v3"/>',
  stop: '<rect class="full" x="6" y="6" width="12" height="12" rx="2"/>',
  file: '<path d="M9 18V6l10-2v12"/><circle cx="6.500" cy="18" r="2.500"/><circle cx="16.500" cy="16" r="2.500"/>',
  undo: '<path d="M8 5L4 9l4 4M4 9h10a6 6 0 0 1 0 12h-3"/>',
  search: '<circle cx="11" cy="11" r="6.500"/><path d="M16 16l4.500 4.500"/>',
  keyboard: '<rect x="2.500" y="6" width="19" height="12.500" rx="2.500"/><path d="M6.500 10h.01M10 10h.01M14 10h.01M17.500 10h.01M8 14.500h8"/>',
  sun: '<circle cx="12" cy="12" r="4"/><path d="M12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400"/>',
  moon: '<path d="M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z"/>',
  system: '<circle cx="12" cy="12" r="8.500"/><path class="full" d="M12 3.500a8.500 8.500 0 0 1 0 17z"/>',
  forward: '<path d="M4 12h15M13 6l6 6-6 6"/>',
  sliders: '<path d="M4 8h9M17 8h3M4 16h3M11 16h9"/><circle cx="15" cy="8" r="2"/><circle cx="9" cy="16" r="2"/>',
  again: '<path d="M20 5v5h-5M20 10a8 8 0 1 0 .5 4"/>',
  download: '<path d="M12 4v11M7 11l5 5 5-5M5 20h14"/>',
  trash: '<path d="M4.500 7h15M9.500 7V4.500h5V7M6.500 7l1 13h9l1-13"/>',
  balance: '<path d="M5 9v6M9 6v12M15 6v12M19 9v6"/>',
  more: '<path d="M6 9l6 6 6-6"/>',
  spark: '<path d="M12 3.500l1.900 6.600 6.600 1.900-6.600 1.900L12 20.500l-1.900-6.600L3.500 12l6.600-1.900z"/>',
};

const parser = new DOMParser();

/** An icon: decoration, never read out. */
export function icon(name) {
  const svg = parser.parseFromString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" aria-hidden="true">${PATHS[name]}</svg>`, "image/svg+xml");
  return document.importNode(svg.documentElement, true);
}

export const $ = (id) => document.getElementById(id);

/** An element; `on` holds listeners, `class` and the rest are attributes, text never becomes markup. */
export function el(tag, { on = {}, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A button with an icon; with `text` the icon stands beside it. */
export function button(name, label, act, { text = false, ...attributes } = {}) {
  const naming = text ? {} : { "aria-label": label, title: label };
  return el("button", { type: "button", class: text ? "soft small" : "bare", ...naming, ...attributes, on: { click: act } }, name ? icon(name) : null, text ? label : null);
}

/** Change the icon of a button, and what it is called. */
export function setIcon(node, name, label) {
  if (node.dataset.icon !== name || !node.firstElementChild) {
    node.querySelector("svg")?.remove();
    node.prepend(icon(name));
    node.dataset.icon = name;
  }
  if (label) { node.setAttribute("aria-label", label); if (node.title) node.title = label; }
}

export function fillIcons() {
  for (const node of document.querySelectorAll("[data-icon]")) if (!node.querySelector("svg")) node.prepend(icon(node.dataset.icon));
}

/** One line of error where it belongs; "" takes it away. */
export function complain(id, message = "") {
  const line = $(`${id}-error`);
  line.textContent = message;
  const input = document.querySelector(`[aria-describedby~="${id}-error"]`);
  if (message) input?.setAttribute("aria-invalid", "true"); else input?.removeAttribute("aria-invalid");
}

/** For people who hear the page. */
export function speak(text) {
  const line = $("spoken");
  line.textContent = "";
  requestAnimationFrame(() => { line.textContent = text; });
}

/** A message that goes away; `action` is [label, function]. Returns what takes it away at once. */
export function toast(text, action = null, milliseconds = 4000) {
  const box = el("div", { class: "toast", role: "status" }, el("span", {}, text));
  const drop = () => { clearTimeout(timer); box.remove(); };
  if (action) box.append(el("button", { type: "button", on: { click: () => { drop(); action[1](); } } }, action[0]));
  // A message that can be answered stays while somebody is about to.
  let timer = setTimeout(drop, milliseconds);
  $("toasts").append(box);
  return drop;
}

export function remember(name, value) { try { localStorage.setItem(`cadenza-${name}`, JSON.stringify(value)); } catch { /* not kept */ } }
export function recall(name, otherwise) {
  try { return JSON.parse(localStorage.getItem(`cadenza-${name}`)) ?? otherwise; } catch { return otherwise; }
}

/** 75.31 -> "1:15.3"; for clocks on the page. */
export function clock(seconds, digits = 1) {
  const whole = Math.max(0, Number.isFinite(seconds) ? seconds : 0);
  const minutes = Math.floor(whole / 60 + 1e-9);
  return `${minutes}:${(whole - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

/** 75.31 -> "1 min 15 s"; for sentences. */
export function span(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
}

/** How long ago, in words. */
export function ago(iso) {
  const seconds = (Date.now() - new Date(iso)) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(iso).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
