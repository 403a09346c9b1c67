/** The outline of a recording: the lowest and the highest sample of each of a few thousand stretches. */

/** As many as the widest screen has pixels, and enough of long recordings to look closer. */
const LEAST_BUCKETS = 4096;
const BUCKETS_PER_S = 25;
const MOST_BUCKETS = 1 << 17;

export class Peaks {
  /** @type {Float32Array} by stretch, -1 to 1 */
  low;
  /** @type {Float32Array} */
  high;
  #values = 0;
  #step;

  /** @param {import("./wav.js").Recording} recording */
  constructor({ nFrames, channels, sampleRate }) {
    const wanted = Math.max(LEAST_BUCKETS, Math.round((BUCKETS_PER_S * nFrames) / sampleRate));
    const n = Math.min(nFrames, wanted, MOST_BUCKETS);
    this.low = new Float32Array(n);
    this.high = new Float32Array(n);
    this.#step = (nFrames * channels) / n;
  }

  /** Take in the next samples. @param {import("./wav.js").Samples} samples */
  take(samples) {
    const scale = samples instanceof Int16Array ? 2 ** -15 : 1;
    for (let i = 0; i < samples.length; ) {
      const bucket = Math.min(this.low.length - 1, Math.floor(this.#values / this.#step));
      const end = bucket === this.low.length - 1 ? samples.length : Math.ceil((bucket + 1) * this.#step) - this.#values + i;
      const stop = Math.min(samples.length, Math.max(i + 1, end));
      let [low, high] = [this.low[bucket] / scale, this.high[bucket] / scale];
      const from = i;
      for (; i < stop; i++) {
        // What is not a number is neither less nor more.
        if (samples[i] < low) low = samples[i];
        if (samples[i] > high) high = samples[i];
      }
      [this.low[bucket], this.high[bucket]] = [low * scale, high * scale];
      this.#values += i - from;
    }
  }

  /** Return the lowest and the highest sample between two shares of the length, each 0 to 1. @param {number} from @param {number} to */
  between(from, to) {
    const n = this.low.length;
    const begin = Math.min(n - 1, Math.floor(from * n));
    let [low, high] = [0, 0];
    for (let i = begin; i < Math.max(begin + 1, Math.floor(to * n)) && i < n; i++) {
      low = Math.min(low, this.low[i]);
      high = Math.max(high, this.high[i]);
    }
    return [Math.max(-1, low), Math.min(1, high)];
  }
}
