// Hum a melody: the microphone's recording becomes a WAV file here, so that the studio decodes nothing exotic.

import { colour } from "./dom.js";
import { encodeWav } from "./wav.js";

export const LONGEST = 30; // seconds

/** Records until `stop` is called or LONGEST is over; `level` hears 0 to 1 and the seconds so far. Answers {stop, wav}. */
export async function record(level) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error("This browser gives a microphone only to https or to 127.0.0.1.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: true } });
  } catch (error) {
    throw new Error(error.name === "NotFoundError" ? "There is no microphone." : "The microphone was not allowed: allow it beside the address of this page.");
  }
  const recorder = new MediaRecorder(stream);
  const parts = [];
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  context.createMediaStreamSource(stream).connect(analyser);
  const began = performance.now(), samples = new Float32Array(1024);
  const meter = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const seconds = (performance.now() - began) / 1000;
    level(Math.min(1, samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0)), seconds);
    if (seconds >= LONGEST) stop();
  }, 60);
  const stop = () => { if (recorder.state !== "inactive") recorder.stop(); };
  const wav = new Promise((done, fail) => recorder.addEventListener("stop", async () => {
    clearInterval(meter);
    stream.getTracks().forEach((track) => track.stop());
    try {
      const buffer = await context.decodeAudioData(await new Blob(parts, { type: recorder.mimeType }).arrayBuffer());
      const mono = new Float32Array(buffer.length);
      for (let c = 0; c < buffer.numberOfChannels; c++) buffer.getChannelData(c).forEach((value, i) => { mono[i] += value / buffer.numberOfChannels; });
      if (mono.every((value) => Math.abs(value) < 1e-4)) throw new Error("Nothing was heard: is it the right microphone?");
      done(encodeWav(mono, buffer.sampleRate));
    } catch (error) { fail(error); } finally { context.close(); }
  }));
  recorder.start();
  return { stop, wav };
}

/** The last levels, as bars that run from right to left. */
export function drawLevel(canvas, history) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.fillStyle = colour("--accent");
  history.slice(-27).forEach((value, i, shown) => {
    const tall = Math.max(3, value * height);
    context.fillRect(width - (shown.length - i) * 6, (height - tall) / 2, 4, tall);
  });
}
