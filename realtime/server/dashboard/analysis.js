/**
 * What was found in one recording: the same figures as `tonewatch analyze` has, out of the server's messages.
 *
 * Messages tell seconds in microseconds, which is finer than a sample: positions are counted in samples again
 * here, so that what follows from them is exact.
 *
 * @typedef {object} Window  one prediction
 * @property {number} start  its first sample, at the model's rate
 * @property {number} end  the sample after its last
 * @property {[number, number]} heard  where there is a voice: from its first sample to the one after its last
 * @property {string} label
 * @property {number} probability
 * @property {number[]} probabilities  of this window alone, in the order of the labels
 * @property {number[]} smoothed
 * @property {(number | null)[]} scales  as `SCALES` are named; null for what the model does not tell
 *
 * @typedef {{start_s: number, end_s: number, label: string}} Stretch
 */

/** Stands for the answer where no window held a voice; never a class. */
export const NO_VOICE = "no voice";

/** What a window is told of beside its label. */
export const SCALES = ["arousal", "valence", "intensity"];

/** What is this near to a voice counts as part of it, in seconds: as the server has it. */
export const AROUND_VOICE_S = 0.2;

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
  /** Why samples were lost, for people: each reason once. @type {string[]} */
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
      const [start, end] = [message.start_s, message.end_s].map((seconds) => this.#sample(seconds));
      this.windows.push({
        start,
        end,
        heard: this.#heardBy(message, start, end),
        label: message.label,
        probability: message.probability,
        probabilities: this.labels.map((label) => message.probabilities[label]),
        smoothed: this.labels.map((label) => message.smoothed[label]),
        scales: SCALES.map((name) => message[name] ?? null),
      });
    } else if (message.type === "status") {
      const { detail } = message;
      if (message.dropped && detail && !this.losses.includes(detail)) this.losses.push(detail);
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
   * A window speaks for the hop at its middle; where windows with a voice begin, for what is before that too, and
   * where they end, for what is behind; but for nothing in which neither it nor another hears a voice. Neighbours
   * of one label are joined.
   *
   * @returns {Stretch[]}
   */
  get timeline() {
    const stretches = [];
    const { windows, hop, sample_rate, duration_s, heard } = this;
    let [reached_s, n_past] = [0, 0];
    windows.forEach(({ start, end, label }, i) => {
      const follows = i > 0 && start - windows[i - 1].start === hop;
      const leads = i + 1 < windows.length && windows[i + 1].start - start === hop;
      const middle = start + this.window / 2;
      const start_s = Math.max((follows ? middle - hop / 2 : start) / sample_rate, reached_s);
      const end_s = Math.min((leads ? middle + hop / 2 : end) / sample_rate, duration_s);
      reached_s = Math.max(reached_s, end_s);
      while (heard[n_past]?.end_s <= start_s) n_past += 1;
      for (let at = n_past; heard[at]?.start_s < end_s; at++) {
        append(stretches, { start_s: Math.max(start_s, heard[at].start_s), end_s: Math.min(end_s, heard[at].end_s), label });
      }
    });
    return stretches;
  }

  /** Where windows hear a voice, in order, and apart from one another. @returns {{start_s: number, end_s: number}[]} */
  get heard() {
    const spans = this.windows.map(({ heard }) => heard.map((sample) => sample / this.sample_rate));
    const heard = [];
    for (const [start_s, end_s] of spans.sort((a, b) => a[0] - b[0])) {
      const last = heard.at(-1);
      if (last && start_s <= last.end_s) last.end_s = Math.max(last.end_s, end_s);
      else heard.push({ start_s, end_s });
    }
    return heard;
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
    if (!this.windows.some(({ heard: [from, to] }) => at >= from && at < to)) return undefined;
    let best;
    for (const window of this.windows) {
      if (at < window.start || at >= window.end) continue;
      const distance = Math.abs(window.start + this.window / 2 - at);
      if (!best || distance < best.distance) best = { window, distance };
    }
    return best?.window;
  }

  /** Where a window has a voice; all of it where the server does not tell. @returns {[number, number]} */
  #heardBy({ voice_start_s, voice_end_s }, start, end) {
    if (voice_start_s === undefined || voice_end_s === undefined) return [start, end];
    const around = this.#sample(AROUND_VOICE_S);
    return [Math.max(start, this.#sample(voice_start_s) - around), Math.min(end, this.#sample(voice_end_s) + around)];
  }

  #sample(seconds) {
    return Math.round(seconds * this.sample_rate);
  }
}

/** Append a stretch, joined with the last where that ends there and has its label. @param {Stretch[]} stretches @param {Stretch} added */
function append(stretches, added) {
  if (added.start_s >= added.end_s) return;
  const last = stretches.at(-1);
  if (last && last.label === added.label && last.end_s === added.start_s) last.end_s = added.end_s;
  else stretches.push(added);
}
