/**
 * Opens audio files: WAV by itself, everything else with the browser's decoder.
 *
 * @typedef {import("./wav.js").Recording} Recording
 * @typedef {import("./wav.js").Samples} Samples
 */

import { readHeader } from "./containers.js";
import { readWav } from "./wav.js";

/** Endings of the files that are looked for in folders; which of them can be decoded depends on the browser. */
export const AUDIO_ENDINGS = [
  ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".weba", ".aif", ".aiff", ".aifc",
  ".au", ".snd", ".caf", ".w64", ".rf64",
];

/** The rates for which browsers decode, in Hz. */
const DECODED_RATES = [3000, 384_000];
const MAX_CHANNELS = 8;
const BLOCK_FRAMES = 1 << 15;

/** A file that cannot be judged; `code` is `files.error.` and a key of texts-files.js. */
export class DecodeError extends Error {
  /** @param {"empty" | "unreadable" | "undecodable" | "channels" | "gone"} code @param {Record<string, string | number>} [values] */
  constructor(code, values = {}) {
    super(code);
    this.code = code;
    this.values = values;
  }
}

/** Whether a file's name ends like that of an audio file. @param {string} name */
export function looksLikeAudio(name) {
  return AUDIO_ENDINGS.some((ending) => name.toLowerCase().endsWith(ending));
}

/**
 * Return the audio in a file, at its own rate and with its own channels.
 *
 * @param {File} file
 * @returns {Promise<Recording>}
 * @throws {DecodeError}
 */
export async function openRecording(file) {
  if (file.size === 0) throw new DecodeError("empty");
  const recording = (await reading(readWav(file))) ?? (await decoded(file));
  if (recording.nFrames === 0) throw new DecodeError("empty");
  if (recording.channels > MAX_CHANNELS) throw new DecodeError("channels", { n: recording.channels, most: MAX_CHANNELS });
  return recording;
}

async function decoded(file) {
  const buffer = await reading(file.arrayBuffer());
  const header = readHeader(buffer);
  const [least, most] = DECODED_RATES;
  const rate = Math.min(most, Math.max(least, header?.sampleRate ?? 48_000));
  let audio;
  try {
    audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer);
  } catch {
    throw new DecodeError("undecodable");
  }
  const whole = header?.bits ? wholeNumbers(audio, header.bits) : null;
  return {
    sampleRate: audio.sampleRate,
    channels: audio.numberOfChannels,
    format: whole?.format ?? "f32le",
    nFrames: audio.length,
    blocks: () => interleaved(audio, whole?.convert),
  };
}

async function* interleaved(audio, convert) {
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  const Kind = convert?.kind ?? Float32Array;
  for (let begin = 0; begin < audio.length; begin += BLOCK_FRAMES) {
    const n = Math.min(BLOCK_FRAMES, audio.length - begin);
    const block = new Kind(n * channels.length);
    channels.forEach((samples, channel) => {
      for (let i = 0, at = channel; i < n; i++, at += channels.length) {
        block[at] = convert ? convert.apply(samples[begin + i]) : samples[begin + i];
      }
    });
    yield block;
  }
}

/**
 * Undo what a decoder did to the whole numbers of a lossless file.
 *
 * Chromium divides those of 16 bits by 32768 below zero and by 32767 above, others by 32768 throughout.
 * Longer ones come out rightly rounded.
 *
 * @param {AudioBuffer} audio
 * @param {number} bits
 */
function wholeNumbers(audio, bits) {
  if (bits > 16) return null;
  for (const top of [2 ** 15, 2 ** 15 - 1]) {
    const scaled = (sample) => sample * (sample < 0 ? 2 ** 15 : top);
    const fits = (value) => value < 2 ** 15 - 0.5 && Math.abs(value - Math.round(value)) < 0.01;
    if (everySample(audio, (sample) => fits(scaled(sample)))) {
      return { format: "s16le", convert: { kind: Int16Array, apply: (sample) => Math.round(scaled(sample)) } };
    }
  }
  return null;
}

function everySample(audio, holds) {
  for (let i = 0; i < audio.numberOfChannels; i++) {
    if (!audio.getChannelData(i).every(holds)) return false;
  }
  return true;
}

/** Wait for a part of a file, which may have been moved or changed since it was chosen. */
async function reading(promise) {
  try {
    return await promise;
  } catch (error) {
    throw error instanceof DecodeError ? error : new DecodeError("gone");
  }
}
