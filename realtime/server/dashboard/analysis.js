/**
 * What was found in one recording: the same figures as `tonewatch analyze` has, out of the server's messages.
 *
 * Messages tell seconds in microseconds, which is finer than a sample: positions are counted in samples again
 * here, so that what follows from them is exact.
 *
 * @typedef {object} Window  one prediction
 * @property {number} start  its first sample, at the model's rate
 * @property {number} end  the sample after its last
 * @property {string} label
 * @property {number} probability
 * @property {number[]} probabilities  of this window alone, in the order of the labels
 * @property {number[]} smoothed
 *
 * @typedef {{start_s: number, end_s: number, label: string}} Stretch
 */

/** Stands for the answer where no window held a voice; never a class. */
export const NO_VOICE = "no voice";

/** The emotions of RAVDESS, in the order of the numbers in its file names. */
const RAVDESS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"];
const RAVDESS_NAME = /^\d{2}-\d{2}-0([1-8])-\d{2}-\d{2}-\d{2}-\d{2}$/;

/** Return the emotion that a file's name carries, as RAVDESS writes it. @param {string} path @returns {string | null} */
export function labelOfName(path) {
  const stem = nameOf(path).replace(/(?<=.)\.[^.]+$/, "");
  const match = RAVDESS_NAME.exec(stem);
  return match ? RAVDESS[Number(match[1]) - 1] : null;
}

/** Return the last part of a path. @param {string} path */
export function nameOf(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Everything that the server said about one recording, and what follows from it. */
export class Analysis {
  /** @type {string[]} the messages of the recording, as they came */
  events = [];
  /** @type {Window[]} the windows with a voice */
  windows = [];
  /** Samples lost, at the model's rate. */
  dropped = 0;
  /** Why samples were lost, for people. @type {string[]} */
  losses = [];
  /** Length of the recording, in samples at the model's rate. */
  n_samples = 0;

  /**
   * @param {string} path  the file, within the folder that was chosen
   * @param {{labels: string[], sample_rate: number, window_s: number, hop_s: number}} hello
   */
  constructor(path, { labels, sample_rate, window_s, hop_s }) {
    this.path = path;
    this.labels = labels;
    this.sample_rate = sample_rate;
    this.window = Math.round(window_s * sample_rate);
    this.hop = Math.round(hop_s * sample_rate);
    this.truth = labelOfName(path);
  }

  /** Take in a message. @param {object} message @param {string} text  as it came */
  take(message, text) {
    if (!["prediction", "segment", "status"].includes(message.type)) return;
    this.events.push(text);
    this.dropped += message.dropped ?? 0;
    if (message.type === "prediction") {
      this.windows.push({
        start: this.#sample(message.start_s),
        end: this.#sample(message.end_s),
        label: message.label,
        probability: message.probability,
        probabilities: this.labels.map((label) => message.probabilities[label]),
        smoothed: this.labels.map((label) => message.smoothed[label]),
      });
    } else if (message.type === "status") {
      if (message.dropped && message.detail) this.losses.push(message.detail);
      if (message.state === "stopped") this.n_samples = this.#sample(message.since_s);
    }
  }

  /** Length of the recording, in seconds. */
  get duration_s() {
    return this.n_samples / this.sample_rate;
  }

  /** Mean probability of each label over the windows with a voice; zeros without one. @returns {number[]} */
  get probabilities() {
    const sums = new Float64Array(this.labels.length);
    for (const { probabilities } of this.windows) probabilities.forEach((p, i) => (sums[i] += p));
    return Array.from(sums, (sum) => Math.fround(this.windows.length ? sum / this.windows.length : 0));
  }

  /** The answer for the whole: the likeliest class of the windows' mean. @returns {{label: string, probability: number}} */
  get whole() {
    const { probabilities } = this;
    const best = probabilities.indexOf(Math.max(...probabilities));
    return { label: this.windows.length ? this.labels[best] : NO_VOICE, probability: probabilities[best] };
  }

  /**
   * Labelled stretches that do not overlap: each moment has the label of the window about it.
   *
   * A window speaks for the hop at its middle; where voice begins, for what is before that too, and where it
   * ends, for what is behind. Neighbours of one label are joined.
   *
   * @returns {Stretch[]}
   */
  get timeline() {
    const stretches = [];
    const { windows, hop, sample_rate, duration_s } = this;
    windows.forEach(({ start, end, label }, i) => {
      const follows = i > 0 && start - windows[i - 1].start === hop;
      const leads = i + 1 < windows.length && windows[i + 1].start - start === hop;
      const middle = start + this.window / 2;
      let start_s = (follows ? middle - hop / 2 : start) / sample_rate;
      const end_s = Math.min((leads ? middle + hop / 2 : end) / sample_rate, duration_s);
      const last = stretches.at(-1);
      if (last) start_s = Math.max(start_s, last.end_s);
      if (start_s >= end_s) return;
      if (last && last.label === label && last.end_s === start_s) last.end_s = end_s;
      else stretches.push({ start_s, end_s, label });
    });
    return stretches;
  }

  /** Share of each label in the time with a voice, largest first. @returns {{label: string, share: number}[]} */
  get shares() {
    const lengths = new Map();
    for (const { label, start_s, end_s } of this.timeline) lengths.set(label, (lengths.get(label) ?? 0) + end_s - start_s);
    const total = [...lengths.values()].reduce((sum, length) => sum + length, 0);
    return [...lengths].map(([label, length]) => ({ label, share: length / total })).sort((a, b) => b.share - a.share);
  }

  /** Return the window that speaks for a moment; undefined where no voice is. @param {number} at_s @returns {Window | undefined} */
  windowAt(at_s) {
    const at = at_s * this.sample_rate;
    let best;
    for (const window of this.windows) {
      if (at < window.start || at >= window.end) continue;
      const distance = Math.abs(window.start + this.window / 2 - at);
      if (!best || distance < best.distance) best = { window, distance };
    }
    return best?.window;
  }

  #sample(seconds) {
    return Math.round(seconds * this.sample_rate);
  }
}
