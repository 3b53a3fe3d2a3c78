// The page without a browser: just enough of a document for review.html, a server that answers at once, and someone who
// presses keys. Run with the page's scripts put in place of PAGE below.
const assert = require("node:assert");

class Element {
  constructor(tag) {
    Object.assign(this, { tagName: tag.toUpperCase(), children: [], textContent: "", value: "", attributes: {}, scrollTop: 0 });
    Object.assign(this, { clientHeight: 320, clientWidth: 960, width: 960, height: 320, paused: true, currentTime: 0, duration: 12 });
  }
  replaceChildren(...children) { this.children = children; }
  append(...children) { this.children.push(...children); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  getContext() { return { clearRect() {}, fillRect() {}, putImageData() {}, getImageData: () => ({}) }; }
  play() { this.paused = false; played.push(this.src); return Promise.resolve(); }
  pause() { this.paused = true; }
  blur() {}
}

const elements = {}, listeners = {}, played = [], sent = [];
let broken = false;
globalThis.document = {
  getElementById: id => elements[id] ??= new Element(["sort", "show"].includes(id) ? "select" : "div"),
  createElement: tag => new Element(tag),
  addEventListener: (name, act) => { listeners[name] = act; },
};
globalThis.window = globalThis;
globalThis.requestAnimationFrame = () => {};
document.getElementById("sort").value = "order";
document.getElementById("show").value = "open";

const recording = (index, vocals, decision = null) => ({
  index, id: `song ${index}`, duration: 12, split: "train", captions: [`words ${index}`], tags: { vocals }, method: "known",
  facts: { genre: "waltz" }, decision,
});
const state = { manifest: "manifest.jsonl", tags: ["vocals"], recordings: [recording(0, 0.1, "drop"), recording(1, 0.2), recording(2, 0.9), recording(3, 0.5)] };
globalThis.fetch = async (path, options) => {
  if (options.body) sent.push([path, JSON.parse(options.body)]);
  if (broken) return { ok: false, status: 500, json: async () => ({ detail: "the disk is full" }) };
  const picture = { columns: 2, rows: 1, peaks: [0, 1], spectrum: "AAE=" };
  const answers = { "api/recordings": state, "api/apply": { path: "reviewed.jsonl", keep: 1 } };
  return { ok: true, json: async () => answers[path] ?? (path.startsWith("api/picture") ? picture : {}) };
};

/* PAGE */

const settle = () => new Promise(done => setTimeout(done, 5));
const press = async (key, more = {}) => {
  listeners.keydown({ key, target: { tagName: "BODY" }, repeat: false, preventDefault() {}, ...more });
  await settle();
};
const here = () => elements.name.textContent;
const names = () => elements.list.children.slice(1, -1).map(item => item.children[0].textContent);

(async () => {
  await settle();
  assert.equal(here(), "song 1", "it goes on at the first that is undecided");
  assert.deepEqual(names(), ["song 1", "song 2", "song 3"]);
  assert.equal(elements.counts.textContent, "0 kept, 1 dropped, 3 to go");
  assert.deepEqual(played, [], "it is silent until asked");
  assert.deepEqual(elements.facts.children.map(child => child.textContent).slice(0, 2), ["vocals", "0.20 (known)"]);

  await press(" ");
  assert.equal(elements.audio.paused, false);
  await press("k");
  assert.deepEqual(sent, [["api/decisions", { index: 1, decision: "keep" }]]);
  assert.equal(here(), "song 2");
  assert.equal(played.at(-1), "api/audio/2");
  await press("D");
  assert.equal(here(), "song 3");
  assert.equal(elements.counts.textContent, "1 kept, 2 dropped, 1 to go");

  await press("u");
  assert.deepEqual(sent.at(-1), ["api/decisions", { index: 2, decision: null }]);
  assert.equal(here(), "song 2");
  assert.equal(elements.counts.textContent, "1 kept, 1 dropped, 2 to go");

  await press("ArrowDown");
  assert.equal(here(), "song 3");
  await press("ArrowUp");
  assert.equal(here(), "song 2");
  await press("ArrowRight");
  assert.equal(elements.audio.currentTime, 5);

  const before = sent.length;
  await press("d", { repeat: true });
  await press("d", { ctrlKey: true });
  await press("d", { target: { tagName: "SELECT" } });
  assert.equal(sent.length, before, "a key that is held, or meant for something else, decides nothing");

  elements.show.value = "all";
  elements.sort.value = "vocals";
  elements.sort.onchange({ target: elements.sort });
  assert.deepEqual(names(), ["song 2", "song 3", "song 1", "song 0"]);

  broken = true;
  await press("d");
  assert.equal(elements.message.textContent, "the disk is full");
  assert.equal(here(), "song 2", "what is not on the disk is not decided");
  assert.equal(elements.counts.textContent, "1 kept, 1 dropped, 2 to go");
  broken = false;
  elements.apply.onclick();
  await settle();
  assert.equal(elements.message.textContent, "reviewed.jsonl: 1 recordings");
})();
