/**
 * Finds the sample rate of a compressed file, which a browser's decoder does not tell: it resamples to whatever
 * rate it was made for, so it has to be made for the right one.
 *
 * References: RFC 9639 (FLAC); RFC 7845 (Opus in Ogg); Xiph, "Vorbis I specification", 4.2.2; ISO/IEC 11172-3
 * and 13818-3, 2.4.2.3 (MP3); ISO/IEC 13818-7, 6.2 (ADTS); ISO/IEC 14496-12 (MP4).
 *
 * @typedef {{sampleRate: number, bits: number | null}} Header  `bits`: of a sample, where nothing is lost
 */

import { wavRate } from "./wav.js";

const MP3_RATES = [44100, 48000, 32000];
const MP3_BITRATES = {
  1: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  2: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};
const ADTS_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
/** Boxes of an MP4 file that hold others, and how many bytes precede those. */
const BOXES = { moov: 0, trak: 0, mdia: 0, minf: 0, stbl: 0, stsd: 8 };
/** How far behind the tags the first frame may be. */
const SEARCHED_BYTES = 1 << 16;

/**
 * Return what the beginning of a file tells.
 *
 * @param {ArrayBuffer} buffer  the file
 * @returns {Header | null} null where nothing is known of it
 */
export function readHeader(buffer) {
  const view = new DataView(buffer);
  const begin = behindTags(view);
  const lossy = (sampleRate) => (sampleRate ? { sampleRate, bits: null } : null);
  if (text(view, begin, 4) === "fLaC") return streamInfo(view, begin + 8);
  if (text(view, 0, 4) === "OggS") return oggHeader(view);
  if (text(view, 4, 4) === "ftyp") return lossy(mp4Rate(view, 0, view.byteLength));
  return lossy(wavRate(view) ?? frameRate(view, begin));
}

/** Return where the audio begins: behind the tags that MP3 and some FLAC files begin with. */
function behindTags(view) {
  let at = 0;
  while (text(view, at, 3) === "ID3" && at + 10 <= view.byteLength) {
    const size = [6, 7, 8, 9].reduce((sum, i) => sum * 128 + (view.getUint8(at + i) & 0x7f), 0);
    at += 10 + size;
  }
  return at;
}

function streamInfo(view, at) {
  if (at + 18 > view.byteLength) return null;
  const packed = view.getUint32(at + 10);
  return { sampleRate: packed >>> 12, bits: ((packed >>> 4) & 31) + 1 };
}

function oggHeader(view) {
  // The first page holds the first packet alone: its table of segments ends where that begins.
  const at = 27 + view.getUint8(26);
  if (text(view, at, 7) === "\x01vorbis") return { sampleRate: view.getUint32(at + 12, true), bits: null };
  if (text(view, at, 8) === "OpusHead") return { sampleRate: 48000, bits: null };
  if (text(view, at, 5) === "\x7fFLAC") return streamInfo(view, at + 17);
  return null;
}

/** Return the rate of the first frame, MP3 or ADTS, that another one follows. */
function frameRate(view, begin) {
  const end = Math.min(begin + SEARCHED_BYTES, view.byteLength - 8);
  for (let at = begin; at < end; at++) {
    const frame = view.getUint8(at) === 0xff ? frameAt(view, at) : null;
    const next = frame && at + frame.length;
    if (frame && (next + 8 > view.byteLength || frameAt(view, next)?.sampleRate === frame.sampleRate)) {
      return frame.sampleRate;
    }
  }
  return null;
}

function frameAt(view, at) {
  const bits = view.getUint32(at);
  if (bits >>> 21 !== 0x7ff) return null;
  const [version, layer] = [(bits >>> 19) & 3, (bits >>> 17) & 3];
  if (layer === 0) {
    const length = ((bits & 3) << 11) | (view.getUint16(at + 4) >>> 5);
    const sampleRate = ADTS_RATES[(bits >>> 10) & 15];
    return version >= 2 && sampleRate && length > 7 ? { sampleRate, length } : null;
  }
  const [rateIndex, rateCode, padding] = [(bits >>> 10) & 3, (bits >>> 12) & 15, (bits >>> 9) & 1];
  // Layer III alone: others are not met with any more. Version 1 is reserved.
  if (layer !== 1 || version === 1 || rateIndex === 3 || rateCode === 0 || rateCode === 15) return null;
  const sampleRate = MP3_RATES[rateIndex] >> { 3: 0, 2: 1, 0: 2 }[version];
  const [table, slots] = version === 3 ? [MP3_BITRATES[1], 144000] : [MP3_BITRATES[2], 72000];
  return { sampleRate, length: Math.floor((slots * table[rateCode]) / sampleRate) + padding };
}

/** Return the rate of the first sound track between two places of an MP4 file. */
function mp4Rate(view, begin, end) {
  for (let at = begin; at + 8 <= end; ) {
    const name = text(view, at + 4, 4);
    let [size, head] = [view.getUint32(at), 8];
    if (size === 1 && at + 16 <= end) [size, head] = [Number(view.getBigUint64(at + 8)), 16];
    const next = size === 0 ? end : Math.min(at + size, end);
    if (next < at + head) return null;
    if (name in BOXES) {
      const rate = mp4Rate(view, at + head + BOXES[name], next);
      if (rate) return rate;
    } else if (["mp4a", "alac", "fLaC", "Opus"].includes(name) && at + head + 28 <= next) {
      return view.getUint16(at + head + 24);
    }
    at = next;
  }
  return null;
}

function text(view, at, length) {
  if (at + length > view.byteLength) return "";
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));
}
