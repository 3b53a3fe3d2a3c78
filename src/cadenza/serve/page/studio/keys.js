// The keyboard. Single keys can be switched off, for people who speak to their machine.

import { $, el, recall, remember } from "./dom.js";

/** `acts` maps a key to [what it does, in words; the function]. */
export function setUpKeys(acts, generate) {
  const mac = navigator.platform.startsWith("Mac");
  $("go-key").textContent = mac ? "⌘ ↵" : "Ctrl ↵";
  $("key-list").append(el("dt", {}, el("kbd", {}, mac ? "⌘ ↵" : "Ctrl ↵")), el("dd", {}, "generate"));
  for (const [key, [words]] of Object.entries(acts)) $("key-list").append(el("dt", {}, el("kbd", {}, { " ": "Space", ArrowLeft: "←", ArrowRight: "→" }[key] ?? key)), el("dd", {}, words));
  $("keys-on").checked = recall("keys", true);
  $("keys-on").addEventListener("change", () => remember("keys", $("keys-on").checked));
  $("keys-open").addEventListener("click", () => $("keys").showModal());
  for (const node of document.querySelectorAll("dialog [data-close]")) node.addEventListener("click", () => node.closest("dialog").close());
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") { event.preventDefault(); return generate(); }
    if (event.ctrlKey || event.metaKey || event.altKey || !$("keys-on").checked || document.querySelector("dialog[open]")) return;
    const on = event.target;
    if (on.closest("input:not([type=range]), textarea, select")) return;
    if (event.key === " " && on.closest("button, a, summary, input")) return;
    if (event.key.startsWith("Arrow") && on.closest("input, [role=slider]")) return;
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act[1]();
  });
}
