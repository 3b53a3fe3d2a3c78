// Where sounds come from: a take that is made, decoded whole; one in the making, read while it is written.

import { OVER, ask, bytes, get } from "./api.js";
import { Sound, contextFor } from "./sound.js";
import { WavReader } from "./wav.js";

const KEPT = 6; // decoded sounds: half a gigabyte at worst, at ten minutes each
const cache = new Map();
let live = null;

/** The sound of a finished take. */
export function soundOf(take) {
  const name = `${take.id} ${take.duration}`;
  if (cache.has(name)) { // the latest used stays longest
    const held = cache.get(name);
    cache.delete(name);
    cache.set(name, held);
    return held;
  }
  const sound = decode(take);
  cache.set(name, sound);
  sound.catch(() => cache.delete(name));
  while (cache.size > KEPT) cache.delete(cache.keys().next().value);
  return sound;
}

async function decode(take) {
  const response = await ask("GET", `/v1/takes/${take.id}/audio?format=flac`);
  return Sound.of(await contextFor(take.sample_rate || 32000).decodeAudioData(await response.arrayBuffer()));
}

/** The sound of a take in the making: answers as soon as its first samples are there, and goes on by itself.
 * One at a time: a browser opens six connections to a server for all of its tabs. */
export function liveSound(generation, item) {
  const name = `${generation.id} ${item}`;
  if (live?.name === name) return live.sound;
  live?.leave.abort();
  const mine = { name, leave: new AbortController() };
  live = mine;
  const over = () => { if (live === mine) live = null; };
  mine.sound = arrive(generation, item, over, mine.leave.signal);
  mine.sound.catch(over);
  return mine.sound;
}

function arrive(generation, item, over, signal) {
  return new Promise((ready, fail) => {
    let sound = null, dropped = 0;
    const seconds = generation.asked.duration;
    (async () => {
      for (let tries = 0; ;) {
        const reader = new WavReader();
        let skip = sound?.filled ?? 0; // after a break it is told again from the beginning: the same music
        try {
          for await (const part of bytes(`/v1/generations/${generation.id}/audio?item=${item}&format=wav`, signal)) {
            let blocks = reader.push(part);
            if (!blocks) continue;
            tries = 0;
            const drop = Math.min(skip, blocks[0].length);
            skip -= drop;
            if (drop) blocks = blocks.map((block) => block.subarray(drop));
            if (!blocks[0].length) continue;
            sound ??= new Sound(reader.format.sampleRate, reader.format.channels, seconds);
            sound.append(blocks);
            ready(sound);
          }
          const now = await get(`/v1/generations/${generation.id}`);
          if (OVER.has(now.status) || OVER.has(now.takes[item]?.status)) break;
        } catch (error) {
          if (signal.aborted) return fail(error);
          if (error.status >= 400 && error.status < 500) { if (!sound) return fail(error); break; }
          if (++dropped > 200) { if (!sound) return fail(error); break; }
        }
        await new Promise((go) => setTimeout(go, Math.min(3000, 250 * 2 ** tries++)));
      }
      if (!sound) return fail(new Error("It was stopped before anything was to be heard."));
      sound.finish();
      over();
    })();
  });
}
