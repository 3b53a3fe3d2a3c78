// WAV, read while it arrives and written for an upload (Microsoft's RIFF: 16-bit and 24-bit PCM, 32-bit float).

/** Feed it bytes; it answers blocks of samples, one Float32Array per channel. Its sizes may be unknown (a stream). */
export class WavReader {
  constructor() {
    this.rest = new Uint8Array(0);
    this.format = null;
    this.inData = false;
  }

  /** Returns the channels' new samples, or null while there are none. Raises Error for what is no WAV. */
  push(bytes) {
    const all = new Uint8Array(this.rest.length + bytes.length);
    all.set(this.rest);
    all.set(bytes, this.rest.length);
    this.rest = all;
    if (!this.inData && !this.#header()) return null;
    const { channels, width } = this.format;
    const frames = Math.floor(this.rest.length / (channels * width));
    if (frames === 0) return null;
    const used = frames * channels * width;
    const view = new DataView(this.rest.buffer, this.rest.byteOffset, used);
    const read = this.format.read;
    const blocks = Array.from({ length: channels }, () => new Float32Array(frames));
    for (let i = 0, at = 0; i < frames; i++) for (let c = 0; c < channels; c++, at += width) blocks[c][i] = read(view, at);
    this.rest = this.rest.slice(used);
    return blocks;
  }

  #header() {
    const view = new DataView(this.rest.buffer, this.rest.byteOffset, this.rest.length);
    const word = (at) => String.fromCharCode(...this.rest.subarray(at, at + 4));
    if (this.rest.length < 12) return false;
    if (word(0) !== "RIFF" || word(8) !== "WAVE") throw new Error("this is no WAV stream");
    for (let at = 12; at + 8 <= this.rest.length;) {
      const name = word(at), size = view.getUint32(at + 4, true);
      if (name === "data") {
        if (!this.format) throw new Error("a WAV stream without its format");
        this.rest = this.rest.slice(at + 8);
        this.inData = true;
        return true;
      }
      if (at + 8 + size > this.rest.length) return false;
      if (name === "fmt ") this.format = readFormat(view, at + 8);
      at += 8 + size + (size % 2);
    }
    return false;
  }
}

function readFormat(view, at) {
  let kind = view.getUint16(at, true);
  const channels = view.getUint16(at + 2, true), sampleRate = view.getUint32(at + 4, true), bits = view.getUint16(at + 14, true);
  if (kind === 0xfffe) kind = view.getUint16(at + 24, true); // extensible: the kind stands in the identifier
  const readers = {
    "1-16": (v, i) => v.getInt16(i, true) / 32768,
    "1-24": (v, i) => (v.getInt16(i + 1, true) * 256 + v.getUint8(i)) / 8388608,
    "1-32": (v, i) => v.getInt32(i, true) / 2147483648,
    "3-32": (v, i) => v.getFloat32(i, true),
  };
  const read = readers[`${kind}-${bits}`];
  if (!read) throw new Error(`WAV of kind ${kind} with ${bits} bits is not read here`);
  return { channels, sampleRate, width: bits / 8, read };
}

/** One channel as a 16-bit WAV file. */
export function encodeWav(samples, sampleRate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVE");
  text(12, "fmt "); view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true); view.setUint32(28, 2 * sampleRate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, value)) * 32767), true));
  return new Blob([view], { type: "audio/wav" });
}
