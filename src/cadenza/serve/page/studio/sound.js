// A sound that may still be arriving, played by Web Audio. To the drawing library it looks like an <audio> element.

const contexts = new Map();

/** One context per sample rate: pieces of a stream then meet without being resampled, each on its own, at their ends. */
export function contextFor(sampleRate) {
  if (!contexts.has(sampleRate)) contexts.set(sampleRate, new AudioContext({ sampleRate, latencyHint: "interactive" }));
  return contexts.get(sampleRate);
}

const FIRST_SECONDS = 0.12; // heard at once; what comes next decides whether there must be a pause
const FADE = 0.012;
let master = 1;

export class Sound extends EventTarget {
  /** `seconds`: how long it will be. */
  constructor(sampleRate, channels, seconds) {
    super();
    this.sampleRate = sampleRate;
    this.context = contextFor(sampleRate);
    this.samples = Array.from({ length: channels }, () => new Float32Array(Math.max(1, Math.round(seconds * sampleRate))));
    this.filled = 0;
    this.complete = false;
    this.loop = null; // [start, end] in seconds
    this.waiting = false;
    this.stalls = 0;
    this.arrivalRate = null;
    this.gain = this.context.createGain();
    this.gain.connect(this.context.destination);
    this.level = 1;
    this.sources = [];
    this.at = 0;
    this.base = null; // the context's time of sample 0 while it plays
    this.playing = false;
    // What an <audio> element has, and the drawing library reads.
    Object.assign(this, { src: "", currentSrc: "", readyState: 4, seeking: false, muted: false, playbackRate: 1, error: null });
  }

  /** A sound that is all there. */
  static of(buffer) {
    const sound = new Sound(buffer.sampleRate, buffer.numberOfChannels, 0);
    sound.samples = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
    sound.filled = buffer.length;
    sound.#whole(buffer);
    return sound;
  }

  get duration() { return this.samples[0].length / this.sampleRate; }
  get made() { return this.filled / this.sampleRate; }
  get paused() { return !this.playing; }
  get ended() { return false; }
  get volume() { return master; }
  set volume(value) { master = value; this.#setGain(); this.dispatchEvent(new Event("volumechange")); }
  canPlayType() { return ""; }
  removeAttribute() { /* nothing to take away */ }
  load() { /* it loads itself */ }
  remove() { /* not in the document */ }

  /** New samples at the end. */
  append(blocks) {
    const count = Math.min(blocks[0].length, this.samples[0].length - this.filled);
    const now = performance.now();
    this.firstAt ??= now;
    blocks.forEach((block, c) => this.samples[c]?.set(block.subarray(0, count), this.filled));
    this.filled += count;
    if (now - this.firstAt > 500) this.arrivalRate = this.made / ((now - this.firstAt) / 1000);
    if (this.playing) this.#feed();
    this.dispatchEvent(new Event("progress"));
  }

  /** Nothing more comes: it is as long as what came. */
  finish() {
    if (this.complete) return;
    this.samples = this.samples.map((channel) => channel.subarray(0, Math.max(1, this.filled)));
    this.#whole(null);
    if (this.playing) this.#feed();
    this.dispatchEvent(new Event("durationchange"));
    this.dispatchEvent(new Event("progress"));
  }

  #whole(buffer) {
    this.complete = true;
    this.buffer = buffer ?? this.#buffer(0, this.samples[0].length);
    this.samples = this.samples.map((_, c) => this.buffer.getChannelData(c)); // kept once
  }

  #buffer(from, to) {
    const buffer = this.context.createBuffer(this.samples.length, to - from, this.sampleRate);
    this.samples.forEach((channel, c) => buffer.copyToChannel(channel.subarray(from, to), c));
    return buffer;
  }

  // ------------------------------------------------------------------------------------------------------ playing

  get currentTime() {
    if (!this.playing || this.base === null) return this.at;
    let time = this.context.currentTime - this.base;
    if (this.loop && this.looping && time >= this.loop[1]) time = this.loop[0] + ((time - this.loop[0]) % (this.loop[1] - this.loop[0]));
    return Math.max(0, Math.min(time, this.duration));
  }

  set currentTime(seconds) {
    const time = Math.max(0, Math.min(seconds, this.complete ? this.duration : this.made));
    this.dispatchEvent(new Event("seeking"));
    this.#silence();
    this.at = time;
    if (this.playing) this.#begin();
    this.dispatchEvent(new Event("seeked"));
    this.dispatchEvent(new Event("timeupdate"));
  }

  async play() {
    if (this.playing) return;
    if (this.at >= this.duration - 0.02) this.at = this.loop ? this.loop[0] : 0;
    this.playing = true;
    this.dispatchEvent(new Event("play"));
    // A browser that has seen no gesture keeps this promise open: the clock below starts when it lets us.
    if (this.context.state !== "running") await Promise.race([this.context.resume(), new Promise((go) => setTimeout(go, 1500))]);
    if (!this.playing) return;
    this.#begin();
    this.timer ??= setInterval(() => this.#tick(), 50);
  }

  pause() {
    if (!this.playing) return;
    this.at = this.currentTime;
    this.playing = false;
    this.#silence();
    this.#waits(false);
    clearInterval(this.timer);
    this.timer = null;
    this.dispatchEvent(new Event("pause"));
  }

  /** Loop a part, all ([0, duration]) or nothing (null). */
  setLoop(range) {
    const time = this.currentTime;
    this.loop = range;
    if (!this.playing) return;
    this.#silence();
    this.at = range && (time < range[0] || time > range[1]) ? range[0] : time;
    this.#begin();
  }

  /** How loud beside the others, as a factor (matched loudness). */
  setLevel(level) { this.level = level; this.#setGain(); }
  #setGain() { this.gain.gain.setTargetAtTime(this.level * master, this.context.currentTime, 0.015); }

  #begin() {
    this.looping = false;
    if (this.complete) {
      const source = this.#source(this.buffer);
      this.base = this.context.currentTime - this.at;
      if (this.loop && this.loop[1] - this.loop[0] > 0.05) {
        [source.loopStart, source.loopEnd] = this.loop;
        source.loop = this.looping = true;
      }
      source.start(0, this.at);
      this.next = this.samples[0].length;
      this.#waits(false);
      this.#began();
    } else {
      this.base = null;
      this.next = Math.round(this.at * this.sampleRate);
      this.#feed();
    }
  }

  /** Put what has arrived behind what is already to be heard. */
  #feed() {
    if (this.filled <= this.next) {
      if (this.base === null) { if (this.complete) this.#end(); else this.#waits(true); }
      return;
    }
    if (this.base === null) {
      const ready = (this.filled - this.next) / this.sampleRate;
      if (!this.complete && ready < this.#enough()) return this.#waits(true);
      this.base = this.context.currentTime + 0.005 - this.next / this.sampleRate;
      this.#waits(false);
      this.#began();
    }
    const source = this.#source(this.#buffer(this.next, this.filled));
    source.start(Math.max(0, this.base + this.next / this.sampleRate));
    this.next = this.filled;
  }

  /** Seconds that must be there before it goes on: after a pause, enough not to stop again soon. */
  #enough() {
    if (this.stalls === 0) return FIRST_SECONDS;
    const rest = this.duration - this.at;
    const lacking = rest * (1 - Math.min(1, this.arrivalRate ?? 0.5));
    return Math.min(rest, Math.max(1, Math.min(8, lacking)));
  }

  #source(buffer) {
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.gain);
    this.#setGain();
    this.sources.push(source);
    source.onended = () => { this.sources = this.sources.filter((other) => other !== source); };
    return source;
  }

  #silence() {
    const sources = this.sources;
    this.sources = [];
    this.base = null;
    if (!sources.length) return;
    // A short fade on a gain of its own, so that no cut clicks and what plays next is not touched.
    const fading = this.gain;
    fading.gain.cancelScheduledValues(this.context.currentTime);
    fading.gain.setTargetAtTime(0, this.context.currentTime, FADE / 3);
    sources.forEach((source) => { source.onended = null; source.stop(this.context.currentTime + FADE * 1.5); });
    setTimeout(() => fading.disconnect(), 300);
    this.gain = this.context.createGain();
    this.gain.gain.value = this.level * master;
    this.gain.connect(this.context.destination);
  }

  #tick() {
    const time = this.currentTime;
    this.dispatchEvent(new Event("timeupdate"));
    if (this.base === null || this.looping) return;
    if (this.complete ? time >= this.duration - 0.005 : this.filled >= this.samples[0].length && time >= this.duration - 0.005) return this.#end();
    if (!this.complete && time >= this.next / this.sampleRate - 0.03) {
      this.stalls += 1;
      this.#silence();
      this.at = this.next / this.sampleRate;
      this.#feed();
    }
  }

  #end() {
    if (this.loop) { this.#silence(); this.at = this.loop[0]; return this.#begin(); }
    this.at = this.duration;
    this.playing = false;
    this.#silence();
    clearInterval(this.timer);
    this.timer = null;
    this.dispatchEvent(new Event("pause"));
    this.dispatchEvent(new Event("ended"));
  }

  #waits(value) {
    if (this.waiting === value) return;
    this.waiting = value;
    this.dispatchEvent(new Event(value ? "waiting" : "playing"));
  }

  #began() { this.dispatchEvent(new Event("began")); }

  /** Largest level in each of `columns` parts of the whole, 0 where nothing has come yet. Grows with the sound. */
  peaks(columns) {
    const total = this.samples[0].length;
    if (this.peakCache?.total !== total || this.peakCache.values.length !== columns) this.peakCache = { total, values: new Float32Array(columns), done: 0 };
    const { values } = this.peakCache;
    for (let column = this.peakCache.done; column < columns; column++) {
      const from = Math.floor((column * total) / columns), to = Math.floor(((column + 1) * total) / columns);
      if (from >= this.filled) break;
      let most = 0;
      for (const channel of this.samples) for (let i = from; i < Math.min(to, this.filled); i++) most = Math.max(most, Math.abs(channel[i]));
      values[column] = most;
      if (to <= this.filled) this.peakCache.done = column + 1;
    }
    return values;
  }
}
