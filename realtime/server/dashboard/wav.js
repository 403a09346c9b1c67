/**
 * Reads WAV files by itself: their samples go to the server as they are, which no browser's decoder does.
 *
 * References: Microsoft, "Multiple Channel Audio Data and WAVE Files", 2007; EBU Tech 3306, "RF64".
 *
 * @typedef {Int16Array | Float32Array} Samples  interleaved
 * @typedef {object} Recording  audio, ready to be sent
 * @property {number} sampleRate  in Hz
 * @property {number} channels
 * @property {"s16le" | "f32le"} format
 * @property {number} nFrames
 * @property {() => AsyncIterable<Samples>} blocks
 */

const INTEGER = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
/** What stands in place of a length that was not known, or did not fit. */
const NO_LENGTH = 0xffffffff;
/** Frames read at a time, in bytes. */
const BLOCK_BYTES = 1 << 18;

/**
 * Return the recording in a WAV file.
 *
 * @param {Blob} file
 * @returns {Promise<Recording | null>} null where it is no WAV file, or one with compressed samples
 */
export async function readWav(file) {
  const chunks = await findChunks(file);
  const layout = chunks && layoutOf(chunks.format);
  if (!layout) return null;
  const { channels, sampleRate, width, read, format } = layout;
  const frameBytes = width * channels;
  const nFrames = Math.floor(chunks.size / frameBytes);
  async function* blocks() {
    const step = Math.max(1, Math.floor(BLOCK_BYTES / frameBytes));
    for (let frame = 0; frame < nFrames; frame += step) {
      const begin = chunks.offset + frame * frameBytes;
      const end = chunks.offset + Math.min(frame + step, nFrames) * frameBytes;
      yield read(await file.slice(begin, end).arrayBuffer());
    }
  }
  return { sampleRate, channels, format, nFrames, blocks };
}

/** Return the sample rate that a WAV file tells, of compressed ones too. @param {DataView} view @returns {number | null} */
export function wavRate(view) {
  if (view.byteLength < 44 || !["RIFF", "RF64"].includes(word(view, 0)) || word(view, 8) !== "WAVE") return null;
  for (let at = 12; at + 16 <= view.byteLength; at += 8 + even(view.getUint32(at + 4, true))) {
    if (word(view, at) === "fmt ") return view.getUint32(at + 12, true);
  }
  return null;
}

/** @returns {Promise<{format: DataView, offset: number, size: number} | null>} where the samples are, and how they are laid out */
async function findChunks(file) {
  const head = await viewOf(file, 0, 12);
  if (head.byteLength < 12 || !["RIFF", "RF64"].includes(word(head, 0)) || word(head, 8) !== "WAVE") return null;
  let format = null;
  let longSize = null;
  for (let at = 12; at + 8 <= file.size; ) {
    const chunk = await viewOf(file, at, 8);
    const [name, size] = [word(chunk, 0), chunk.getUint32(4, true)];
    if (name === "fmt ") format = await viewOf(file, at + 8, size);
    if (name === "ds64") longSize = Number((await viewOf(file, at + 8, 16)).getBigUint64(8, true));
    if (name === "data") {
      const announced = size === NO_LENGTH && longSize !== null ? longSize : size;
      // A recorder that was cut off leaves more than there is.
      return format && { format, offset: at + 8, size: Math.min(announced, file.size - at - 8) };
    }
    at += 8 + even(size);
  }
  return null;
}

/** Return what the format chunk says; null where the samples are compressed. @param {DataView} view */
function layoutOf(view) {
  if (view.byteLength < 16) return null;
  const [code, channels, sampleRate, align, bits] = [
    view.getUint16(0, true),
    view.getUint16(2, true),
    view.getUint32(4, true),
    view.getUint16(12, true),
    view.getUint16(14, true),
  ];
  const kind = code === EXTENSIBLE && view.byteLength >= 26 ? view.getUint16(24, true) : code;
  const width = channels ? align / channels : 0;
  if (!Number.isInteger(width) || width * 8 < bits || !sampleRate) return null;
  const read = { [INTEGER]: INTEGERS, [FLOAT]: FLOATS }[kind]?.[width];
  return read ? { channels, sampleRate, width, read, format: read === INTEGERS[2] ? "s16le" : "f32le" } : null;
}

/** From bytes to samples of full scale ±1, rounded as libsndfile rounds them; by the width of a sample in bytes. */
const INTEGERS = {
  1: (buffer) => Float32Array.from(new Uint8Array(buffer), (value) => (value - 128) / 2 ** 7),
  2: (buffer) => new Int16Array(buffer),
  3: (buffer) => {
    const bytes = new Uint8Array(buffer);
    const samples = new Float32Array(bytes.length / 3);
    for (let i = 0, at = 0; i < samples.length; i++, at += 3) {
      // As the upper three bytes of 32 bits: this keeps the sign.
      samples[i] = ((bytes[at] << 8) | (bytes[at + 1] << 16) | (bytes[at + 2] << 24)) / 2 ** 31;
    }
    return samples;
  },
  4: (buffer) => Float32Array.from(new Int32Array(buffer), (value) => value / 2 ** 31),
};
const FLOATS = {
  4: (buffer) => new Float32Array(buffer),
  8: (buffer) => Float32Array.from(new Float64Array(buffer)),
};

async function viewOf(file, offset, length) {
  return new DataView(await file.slice(offset, offset + length).arrayBuffer());
}

function word(view, offset) {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + offset, 4));
}

function even(size) {
  return size + (size % 2);
}
