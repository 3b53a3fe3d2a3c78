// The page of a listening test without a browser: just enough of a document, a server that answers at once, and somebody
// who listens. Run with the page's scripts put in place of PAGE below.
const assert = require("node:assert");

class Element {
  constructor(tag) {
    Object.assign(this, { tagName: tag.toUpperCase(), children: [], textContent: "", value: "", attributes: {}, hidden: false });
    Object.assign(this, { disabled: false, checked: false, className: "", paused: true, ended: false, currentTime: 0, heard: 0 });
  }
  get played() { return { length: this.heard ? 1 : 0, start: () => 0, end: () => this.heard }; }
  replaceChildren(...children) { this.children = children; }
  append(...children) { this.children.push(...children); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  focus() { focused = this; }
  play() { this.paused = false; this.onplay?.(); this.onplaying?.(); return Promise.resolve(); }
  pause() { if (!this.paused) { this.paused = true; this.onpause?.(); } }
  listen(seconds) { this.heard = seconds; this.ontimeupdate?.(); }
}

const elements = {}, listeners = {}, sent = [], stored = {}, sounds = [];
let focused = null, broken = null;
globalThis.document = {
  getElementById: id => elements[id] ??= new Element("div"),
  createElement: tag => { const made = new Element(tag); if (tag === "audio") sounds.push(made); return made; },
  addEventListener: (name, act) => { listeners[name] = act; },
};
globalThis.localStorage = { getItem: key => stored[key] ?? null, setItem: (key, value) => { stored[key] = value; } };

const clip = name => ({ name, seconds: 10 });
const screens = [
  { position: 0, training: true, kind: "rating", title: "Overall quality", question: "How good?", low: "bad", high: "good", text: "", clips: [clip("aa")] },
  { position: 1, training: false, kind: "rating", title: "Relevance", question: "How well?", low: "not", high: "all", text: "<b>a waltz</b>", clips: [clip("bb")] },
  { position: 2, training: false, kind: "pair", title: "Two versions", question: "Which?", low: "", high: "", text: "", clips: [clip("cc"), clip("dd")] },
];
let at = 0;
const session = () => ({ code: "abcd-efgh", done: at, total: 3, seconds_left: 200 - 60 * at, screen: screens[at] ?? null });
const about = { id: "t1", title: "Test <1>", welcome: "Hello", consent: "I agree", headphones: { headphones: "Headphones", speakers: "Loudspeakers" }, calibration: "zz", least_heard: 1, low: 1, high: 100, strengths: ["slightly", "clearly", "strongly"] };
globalThis.fetch = async (path, options) => {
  const body = options.body ? JSON.parse(options.body) : null;
  if (body) sent.push([path, body]);
  if (broken === "network") throw new TypeError("fetch failed");
  if (broken) return { ok: false, status: 507, json: async () => ({ detail: broken }) };
  if (path === "api/answer") at = Math.max(at, body.position + 1);
  return { ok: true, json: async () => (path === "api/test" ? about : path === "api/stop" ? { stopped: true } : session()) };
};

/* PAGE */

const settle = () => new Promise(done => setTimeout(done, 5));
const el = id => document.getElementById(id);
const press = async (key, more = {}) => {
  listeners.keydown({ key, target: { tagName: "BODY" }, repeat: false, preventDefault() {}, ...more });
  await settle();
};
const visible = () => ["start", "volume", "judge", "end"].filter(id => !el(id).hidden);
const rows = () => el("clips").children;
const players_ = () => sounds.slice(-rows().length);

(async () => {
  // logic
  assert.equal(heard({ length: 2, start: i => [0, 5][i], end: i => [2, 6.5][i] }), 3.5);
  assert.equal(enough([{ seconds: 10 }], [9.8], 1), true);
  assert.equal(enough([{ seconds: 10 }, { seconds: 10 }], [10, 4], 0.5), false);
  assert.deepEqual(preferences(["slightly", "clearly"]).map(p => p[0]), [-2, -1, 0, 1, 2]);
  assert.equal(preferences(["slightly", "clearly"])[0][1], "A, clearly");
  assert.deepEqual([left(30), left(600)], ["about a minute left", "about 10 minutes left"]);
  const key = (key, target = { tagName: "BODY" }, more = {}) => command({ key, target, ...more }, 2);
  assert.deepEqual([" ", "a", "B", "c", "Enter", "x"].map(k => key(k)), ["play", 0, 1, null, "next", null]);
  assert.deepEqual([" ", "Enter"].map(k => key(k, { tagName: "BUTTON" })), [null, null], "the browser presses the button");
  assert.equal(key("b", { tagName: "BUTTON" }), 1, "the next clip, after a click on the first");
  assert.deepEqual(["range", "radio", undefined].map(type => key("ArrowLeft", { tagName: "INPUT", type })), [null, null, "answer"]);
  assert.equal(key(" ", { tagName: "INPUT", type: "radio" }), null);
  assert.equal(key(" ", { tagName: "INPUT", type: "range" }), "play");
  assert.equal(key("a", undefined, { ctrlKey: true }), null);
  assert.equal(key("Enter", undefined, { repeat: true }), null);

  // start: consent and what one hears with
  await settle();
  assert.deepEqual(visible(), ["start"]);
  assert.equal(el("title").textContent, "Test <1>");
  assert.equal(el("agreement").textContent, "I agree");
  el("consent").checked = true;
  el("consent").onchange();
  assert.equal(el("begin").disabled, true, "it asks what one hears with");
  el("headphones").children[0].children[0].onchange();
  el("headphones").onchange();
  assert.equal(el("begin").disabled, false);
  el("begin").onclick();
  await settle();
  assert.deepEqual(sent.at(-1), ["api/begin", { consent: true, headphones: "headphones" }]);
  assert.equal(stored["cadenza-t1"], "abcd-efgh");

  // volume
  assert.deepEqual(visible(), ["volume"]);
  el("set").disabled = true;
  el("noise").onclick();
  await settle();
  assert.equal(sounds[0].src, "api/clips/zz");
  assert.equal(el("set").disabled, false);
  assert.equal(el("noise").textContent, "Pause the noise");
  el("set").onclick();
  assert.equal(el("noise").textContent, "Play the noise", "whoever comes back finds it so");
  assert.equal(sounds[0].paused, true);

  // a rating: heard whole, then moved, then sent
  assert.deepEqual(visible(), ["judge"]);
  assert.equal(focused, el("heading"), "readers of the screen begin at the top");
  assert.equal(el("training").hidden, false);
  assert.equal(el("text").hidden, true);
  assert.equal(el("count").textContent, "0 of 3, about 3 minutes left");
  assert.equal(el("value").textContent, "not set");
  await press(" ");
  const [player] = players_();
  assert.equal(player.paused, false);
  assert.equal(rows()[0].children[0].textContent, "Pause");
  player.listen(4);
  await press("ArrowRight");
  assert.equal(focused, el("rating"), "whose keys move it");
  el("rating").onpointerup({ target: { value: "51" } });
  assert.equal(el("value").textContent, 51, "a click where the slider stands is an answer");
  el("rating").oninput({ target: { value: "64" } });
  assert.equal(el("value").textContent, 64);
  assert.equal(el("next").disabled, true, "not heard to the end");
  assert.equal(el("needed").textContent, "Listen to the clip first.");
  await press("Enter");
  assert.equal(sent.length, 1, "nothing was sent");
  player.listen(9.9);
  assert.equal(el("next").disabled, false);

  // the server is away: the answer stays, and goes with the next try
  broken = "network";
  await press("Enter");
  assert.match(el("message").textContent, /Nothing is lost/);
  assert.equal(el("value").textContent, 64);
  broken = "the disk is full";
  await press("Enter");
  assert.equal(el("message").textContent, "the disk is full");
  broken = null;
  await press("Enter");
  assert.deepEqual(sent.at(-1), ["api/answer", { code: "abcd-efgh", position: 0, answer: 64, heard: [9.9] }]);

  // the next one starts anew, and shows its text as words
  assert.equal(el("heading").textContent, "Relevance");
  assert.equal(el("text").textContent, "<b>a waltz</b>");
  assert.equal(el("training").hidden, true);
  assert.equal(player.paused, true);
  assert.equal(el("value").textContent, "not set");
  assert.equal(el("rating").className, "unset");
  players_()[0].listen(10);
  assert.equal(el("next").disabled, true, "an answer is never ready-made");

  // stop, and go on
  el("stop").onclick();
  await settle();
  assert.deepEqual(visible(), ["end"]);
  assert.match(el("farewell").textContent, /abcd-efgh/);
  el("back").onclick();
  await settle();
  assert.deepEqual(visible(), ["volume"], "another day, another volume");
  el("set").onclick();
  assert.equal(el("heading").textContent, "Relevance");
  players_()[0].listen(10);
  el("rating").oninput({ target: { value: "7" } });
  el("next").onclick();
  await settle();

  // a pair: one sounds at a time, both must be heard
  assert.equal(el("scale").hidden, true);
  assert.equal(el("choices").hidden, false);
  assert.deepEqual(rows().map(row => row.children[0].textContent), ["Play A", "Play B"]);
  const [a, b] = players_();
  await press("a");
  await press("b");
  assert.deepEqual([a.paused, b.paused], [true, false]);
  a.listen(10);
  await press("ArrowLeft");
  assert.equal(focused, el("options").children[3].children[0], "the middle of the answers");
  el("options").children[6].children[0].onchange();
  assert.equal(el("next").disabled, true);
  b.listen(10);
  el("next").onclick();
  el("next").onclick(); // twice
  await settle();
  assert.deepEqual(sent.at(-1), ["api/answer", { code: "abcd-efgh", position: 2, answer: 3, heard: [10, 10] }]);
  assert.equal(sent.filter(([path]) => path === "api/answer").length, 5);
  assert.deepEqual(visible(), ["end"]);
  assert.equal(el("ending").textContent, "Thank you");
  assert.equal(el("stop").hidden, true);
})().catch(error => { console.error(error); process.exit(1); });
