// The spectrogram, drawn column by column while the sound arrives and the page has time.

import { colour } from "./dom.js";

const SIZE = 2048;
const ROWS = 112;
const FLOOR_DB = 78;
const LOWEST_HZ = 45;
const SLICE_MS = 7; // of each frame, so that nothing else waits

const window_ = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
const cosine = Float32Array.from({ length: SIZE / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / SIZE));
const sine = Float32Array.from({ length: SIZE / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / SIZE));
const reversed = Uint16Array.from({ length: SIZE }, (_, i) => { let r = 0; for (let b = 1; b < SIZE; b <<= 1) { r = (r << 1) | (i & 1); i >>= 1; } return r; });

/** In place: the discrete Fourier transform of SIZE complex numbers (Cooley and Tukey 1965, radix 2). */
function transform(real, imaginary) {
  for (let half = 1; half < SIZE; half *= 2) {
    const step = SIZE / (2 * half);
    for (let start = 0; start < SIZE; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const a = start + k, b = a + half, c = cosine[k * step], s = sine[k * step];
        const r = real[b] * c - imaginary[b] * s, i = real[b] * s + imaginary[b] * c;
        real[b] = real[a] - r; imaginary[b] = imaginary[a] - i;
        real[a] += r; imaginary[a] += i;
      }
    }
  }
}

/** Shades from silence to the loudest: the dark of the screen, the accent, nearly white. */
function ramp() {
  const stops = [[0, [13, 11, 10]], [0.3, [58, 24, 20]], [0.62, [196, 62, 16]], [0.85, [255, 160, 92]], [1, [255, 244, 224]]];
  return Array.from({ length: 256 }, (_, i) => {
    const x = i / 255, next = stops.findIndex(([at]) => at >= x), [to, high] = stops[Math.max(1, next)], [from, low] = stops[Math.max(1, next) - 1];
    return high.map((value, c) => low[c] + ((value - low[c]) * (x - from)) / (to - from));
  });
}

export class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.shades = ramp();
    this.real = new Float32Array(SIZE);
    this.imaginary = new Float32Array(SIZE);
    canvas.height = ROWS;
  }

  /** Follow this sound; what was drawn before goes. */
  show(sound) {
    if (this.sound === sound) return;
    this.sound = sound;
    this.#begin();
  }

  /** More has come, or its length has changed. */
  update() {
    if (!this.sound || this.frame || !this.canvas.clientWidth) return;
    if (this.total !== this.sound.samples[0].length) return this.#begin();
    this.frame = requestAnimationFrame(() => { this.frame = null; this.#draw(); });
  }

  #begin() {
    this.canvas.width = Math.max(200, Math.min(1200, Math.round(this.canvas.clientWidth || 800)));
    this.total = this.sound.samples[0].length;
    this.column = 0;
    this.peak = 1e-4;
    const rate = this.sound.sampleRate, top = rate / 2;
    // Equal steps of pitch above a few hundred hertz and of frequency below, as the ear has them (mel).
    const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700), hertz = (m) => 700 * (10 ** (m / 2595) - 1);
    this.edges = Array.from({ length: ROWS + 1 }, (_, r) => (hertz(mel(LOWEST_HZ) + (r * (mel(top) - mel(LOWEST_HZ))) / ROWS) * SIZE) / rate);
    this.update();
  }

  #draw() {
    const context = this.canvas.getContext("2d"), until = performance.now() + SLICE_MS, { width } = this.canvas;
    const image = context.createImageData(1, ROWS);
    while (this.column < width && performance.now() < until) {
      const centre = Math.floor(((this.column + 0.5) * this.total) / width);
      if (!this.sound.complete && centre + SIZE / 2 > this.sound.filled) return;
      this.#analyse(centre);
      for (let row = 0; row < ROWS; row++) {
        const shade = this.shades[this.#level(row)], at = 4 * (ROWS - 1 - row);
        image.data.set(shade, at);
        image.data[at + 3] = 255;
      }
      context.putImageData(image, this.column++, 0);
    }
    if (this.column < width) this.update();
  }

  #analyse(centre) {
    const { samples } = this.sound, start = centre - SIZE / 2;
    for (let i = 0; i < SIZE; i++) {
      const at = start + i;
      let value = 0;
      if (at >= 0 && at < this.total) for (const channel of samples) value += channel[at];
      this.real[reversed[i]] = (value / samples.length) * window_[i];
    }
    this.imaginary.fill(0);
    transform(this.real, this.imaginary);
  }

  /** The level of a band, 0 (far below a full tone) to 255. */
  #level(row) {
    const low = this.edges[row], high = this.edges[row + 1];
    let most = 0;
    for (let bin = Math.floor(low); bin <= Math.max(Math.floor(low), Math.floor(high)); bin++) most = Math.max(most, this.real[bin] ** 2 + this.imaginary[bin] ** 2);
    const decibels = 10 * Math.log10(most / (SIZE / 6) ** 2 + 1e-12);
    return Math.max(0, Math.min(255, Math.round(((decibels + FLOOR_DB) / FLOOR_DB) * 255)));
  }
}

/** A small waveform of a take in the list: bars of [min, max] pairs. */
export function drawPeaks(canvas, peaks) {
  const ratio = Math.min(2, devicePixelRatio || 1), width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d"), step = 4 * ratio, bars = Math.floor(width / step);
  const mean = (part) => part.reduce((sum, [low, high]) => sum + high - low, 0) / part.length;
  context.fillStyle = colour("--wave");
  const levels = Array.from({ length: bars }, (_, bar) => {
    const from = Math.floor((bar * peaks.length) / bars);
    return mean(peaks.slice(from, Math.max(from + 1, Math.floor(((bar + 1) * peaks.length) / bars))));
  });
  const most = Math.max(0.05, ...levels);
  for (let bar = 0; bar < bars; bar++) {
    const tall = Math.max(2 * ratio, (levels[bar] / most) * height);
    context.beginPath();
    context.roundRect(bar * step, (height - tall) / 2, 2.4 * ratio, tall, 1.2 * ratio);
    context.fill();
  }
}
