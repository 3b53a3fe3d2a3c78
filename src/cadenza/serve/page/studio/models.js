// The models: which are there, which are in memory, what their licences say.

import { get, post } from "./api.js";
import { $, complain, el, speak } from "./dom.js";
import { setLongest } from "./compose.js";

export let models = [];

export async function refreshModels() {
  models = await get("/v1/models");
  const own = models.find((model) => model.default) ?? models[0];
  $("model-name").textContent = own?.name ?? "no model";
  document.querySelector("#models-open .dot").classList.toggle("on", Boolean(own?.loaded));
  if (own?.max_duration) setLongest(own.max_duration);
  const chosen = $("model").value;
  $("model").replaceChildren(new Option("the studio's own", ""), ...models.filter((model) => model.loaded && model !== own).map((model) => new Option(model.name, model.name)));
  $("model").value = [...$("model").options].some((option) => option.value === chosen) ? chosen : "";
  showDefaults();
  $("field-model").hidden = $("model").options.length < 2;
  $("model-list").replaceChildren(...models.map((model) => row(model, own)));
  if (models.some((model) => model.loading)) setTimeout(() => refreshModels().catch(() => {}), 1500);
}

/** What the chosen model does by itself, in the fields that leave it to it. */
function showDefaults() {
  const chosen = models.find((model) => model.name === $("model").value) ?? models.find((model) => model.default) ?? models[0];
  for (const name of ["guidance", "temperature", "top_k", "top_p"]) $(name).placeholder = chosen?.sampling?.[name] ?? "its own";
}

function row(model, own) {
  const listens = model.conditions?.length ? `listens to ${model.conditions.join(", ")}` : null;
  const facts = [model.kind, model.sample_rate ? `${model.sample_rate / 1000} kHz` : null, listens, model.licence].filter(Boolean).join("  ·  ");
  const act = el("button", { type: "button", class: "soft small", disabled: Boolean(model.loading), "aria-label": `${model.loaded ? "Unload" : "Load"} ${model.name}`, on: { click: () => change(model.loaded ? "unload" : "load", model.name) } }, model.loading ? "Loading …" : model.loaded ? "Unload" : "Load");
  return el("li", {}, el("div", {}, el("p", { class: "name" }, model.name, model === own ? " (the studio's own)" : ""), el("p", { class: "facts" }, facts)), act);
}

async function change(what, name) {
  complain("models");
  $("models").setAttribute("aria-busy", "true");
  speak(`${what === "load" ? "Loading" : "Unloading"} ${name}`);
  try { await post(`/v1/models/${what}`, { name }); speak(`${name}: ${what}ed`); } catch (error) { complain("models", error.message); }
  $("models").removeAttribute("aria-busy");
  await refreshModels().catch(() => {});
  $("model-list").querySelector(`[aria-label$="${CSS.escape(name)}"]`)?.focus();
}

export function setUpModels() {
  $("model").addEventListener("change", showDefaults);
  $("models-open").addEventListener("click", () => { $("models").showModal(); refreshModels().catch((error) => complain("models", error.message)); });
  $("model-form").addEventListener("submit", (event) => { event.preventDefault(); const name = $("model-load").value.trim(); if (name) change("load", name); });
}
