/**
 * What is known of one stream: its last hour, and what it does now. Knows nothing of how that is shown.
 *
 * Messages tell seconds since their stream began; a stream that begins again counts from 0 anew. Here
 * everything is a date, in milliseconds since 1970, so that several runs and several streams share one axis.
 *
 * @typedef {object} Point  one prediction
 * @property {number} at  date of its window's end
 * @property {number} heard  where in it the voice ends
 * @property {string} label
 * @property {number} probability
 * @property {Float32Array} shares  smoothed, by the order of the track's labels
 * @property {boolean} follows  whether it continues the point before it without a gap
 * @property {number | null} arousal  -1 to 1; null where the model does not tell it, as the next two
 * @property {number | null} valence  -1 to 1
 * @property {number | null} intensity  0 to 1
 * @property {number} level_dbfs
 * @property {{queue: number, features: number, inference: number}} latency_ms
 *
 * @typedef {{label: string, from: number, to: number | null, probability: number}} Stretch  a segment
 * @typedef {{state: string, detail: string, from: number, level_dbfs: number | null}} Condition  a state
 */

import { AROUND_VOICE_S } from "./analysis.js";

/** How much of the past is kept, in milliseconds. */
export const KEPT_MS = 3_600_000;

const PREDICTING = new Set(["listening", "clipping"]);
/** Dates within this are one: they are computed from rounded seconds. */
const ROUNDING_MS = 2;

export class Track {
  /** @type {Point[]} */
  points = [];
  /** @type {Stretch[]} */
  stretches = [];
  /** @type {Condition[]} */
  conditions = [];
  /** Samples lost, in seconds of audio; as long as the page has been open. */
  lost_s = 0;
  /** When something was last heard of it, by the page's clock; 0 before that. */
  heard = 0;
  /** Changes when the past does, other than by growing. */
  revision = 0;
  /** Whether the server still knows it. */
  known = true;
  /** From one prediction to the next; 0 before there are two: nobody tells, and streams differ. */
  hop_ms = 0;

  /** Stands for a segment whose beginning nobody told the page. @type {Stretch | null} */
  #guess = null;
  /** The date of what was heard last, by the server's clock. */
  #date = 0;
  #origin = null;
  #seq = -1;
  #end_s = 0;
  /** Where the present run began, and whether its hop is known: it may have a longer one than the run before it. */
  #runFrom = 0;
  #isLearnt = false;

  /**
   * @param {string} name
   * @param {string[]} labels
   * @param {number} sample_rate  of what `dropped` counts, in Hz
   */
  constructor(name, labels, sample_rate) {
    this.name = name;
    this.labels = labels;
    this.sample_rate = sample_rate;
  }

  /** What it does; undefined before that is known. @returns {Condition | undefined} */
  get condition() {
    return this.conditions.at(-1);
  }

  /** The newest prediction, where it says something of now. @returns {Point | null} */
  get current() {
    const [point, condition] = [this.points.at(-1), this.condition];
    if (!point || (condition && !PREDICTING.has(condition.state))) return null;
    return !condition || point.at >= condition.from - ROUNDING_MS ? point : null;
  }

  /** Since when the current label is the current one. @returns {number | null} */
  get currentFrom() {
    const { current, points } = this;
    if (!current) return null;
    let i = points.length - 1;
    while (i > 0 && points[i].follows && points[i - 1].label === current.label) i--;
    return points[i].at - this.hop_ms;
  }

  /** The newest date known. */
  get end() {
    return Math.max(this.points.at(-1)?.at ?? 0, this.condition?.from ?? 0);
  }

  /** Take in a message of this stream. @param {object} message @param {number} heard  the page's date */
  take(message, heard) {
    this.heard = heard;
    if (message.time) this.#date = Date.parse(message.time);
    if (message.dropped) this.lost_s += message.dropped / this.sample_rate;
    if (message.type === "prediction") this.#takePrediction(message);
    else if (message.type === "segment") this.#takeSegment(message);
    else if (message.type === "status") this.#takeStatus(message);
  }

  /** Forget what is older than an hour. @param {number} date  now, by the page's clock */
  trim(date) {
    // The clocks may differ, but not in how long it is since something was heard.
    const oldest = this.#date + (date - this.heard) - KEPT_MS;
    // Not one by one: that would move the whole hour each time.
    const late = oldest - KEPT_MS / 30;
    if (this.points[0]?.at < late) {
      this.points.splice(0, this.indexAt(oldest));
      const end = this.points.at(-1)?.at ?? 0;
      this.stretches = this.stretches.filter(({ to }) => (to ?? end) >= oldest);
    }
    // The first one says what the stream did at the beginning of the hour, however long before that it began to.
    if (this.conditions[1]?.from < late) this.conditions.splice(0, this.conditions.findLastIndex(({ from }) => from < oldest));
  }

  /** Return the index of the first point at `date` or later. @param {number} date */
  indexAt(date) {
    let [low, high] = [0, this.points.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.points[middle].at < date) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Return the point that covers `date`; null where nothing was predicted. @param {number} date */
  pointAt(date) {
    const point = this.points[this.indexAt(date)];
    return point && point.at - this.hop_ms <= date ? point : null;
  }

  /** Return what the stream did at `date`. @param {number} date @returns {Condition | undefined} */
  conditionAt(date) {
    return this.conditions.findLast(({ from }) => from <= date);
  }

  #takePrediction(message) {
    const at = Date.parse(message.time);
    const origin = at - 1000 * message.end_s;
    const sameRun = this.#origin !== null && Math.abs(origin - this.#origin) <= ROUNDING_MS;
    // Told twice, when a connection is resumed.
    if (sameRun && message.seq <= this.#seq) return;
    if (!sameRun) [this.#runFrom, this.#isLearnt] = [at, false];
    else if (message.seq === this.#seq + 1) this.#learnHop(1000 * (message.end_s - this.#end_s));
    const last = this.points.at(-1);
    if (last && at <= last.at) {
      // The server's clock was set back: what it said before would lie upon what it says now.
      this.revision += 1;
      this.points.splice(this.indexAt(at));
      this.stretches = this.stretches.filter(({ from }) => from < at);
    }
    const before = this.points.at(-1);
    const follows = this.#follows(at, before);
    // What ended in between may never be told: the server forgets too.
    if (!sameRun || !follows) this.#close(before?.heard ?? at);
    const isNext = message.seq === (sameRun ? this.#seq + 1 : 0);
    [this.#origin, this.#seq, this.#end_s] = [origin, message.seq, message.end_s];
    if (!this.stretches.length || (!isNext && !this.#open)) {
      this.#guess = { label: message.label, from: at - this.hop_ms, to: null, probability: message.probability };
      this.stretches.push(this.#guess);
    }
    this.points.push({
      at,
      heard: Math.min(at, origin + 1000 * ((message.voice_end_s ?? message.end_s) + AROUND_VOICE_S)),
      label: message.label,
      probability: message.probability,
      shares: Float32Array.from(this.labels, (label) => message.smoothed[label] ?? 0),
      follows,
      arousal: message.arousal ?? null,
      valence: message.valence ?? null,
      intensity: message.intensity ?? null,
      level_dbfs: message.level_dbfs,
      latency_ms: message.latency_ms,
    });
  }

  /** Two predictions in a row are a hop apart, but for those that have a pause between them. @param {number} apart_ms */
  #learnHop(apart_ms) {
    const apart = Math.max(1, apart_ms);
    const isKnown = Math.abs(apart - this.hop_ms) <= ROUNDING_MS || (this.#isLearnt && apart > this.hop_ms);
    this.#isLearnt = true;
    if (isKnown) return;
    this.hop_ms = apart;
    this.revision += 1;
    // What followed by a longer one does not any more.
    for (let i = this.points.length - 1; i > 0 && this.points[i].at > this.#runFrom; i--) {
      this.points[i].follows = this.#follows(this.points[i].at, this.points[i - 1]);
    }
  }

  #follows(at, before) {
    return before !== undefined && at - before.at < 1.5 * this.hop_ms;
  }

  #takeSegment({ label, start_s, end_s, probability }) {
    // It comes behind a prediction, which said when its stream began.
    if (this.#origin === null) return;
    const from = this.#origin + 1000 * start_s;
    const to = end_s === null ? null : this.#origin + 1000 * end_s;
    const known = this.stretches.findLast((stretch) => Math.abs(stretch.from - from) <= ROUNDING_MS);
    const guess = this.#guess;
    this.#guess = null;
    // It is the one that was guessed, wherever it began.
    if (guess && guess !== known && from <= guess.from + this.hop_ms) {
      this.stretches = this.stretches.filter((stretch) => stretch !== guess);
    }
    if (known) {
      Object.assign(known, { label, to, probability });
      return;
    }
    this.#close(from);
    this.stretches.push({ label, from, to, probability });
  }

  #takeStatus({ state, detail, since_s, at_s, time, level_dbfs, sent }) {
    const from = Date.parse(time) - 1000 * (at_s - since_s);
    const known = this.conditions.findLast((it) => Math.abs(it.from - from) <= ROUNDING_MS && it.state === state);
    if (known) Object.assign(known, { detail, level_dbfs });
    // The one that greets a newcomer has no `sent`, and may be newer than the history that follows it; any other
    // is newer than all before it, whatever the date: a recording is heard faster than it was spoken.
    const behind = this.conditions.findLastIndex((it) => it === known || it.from < from - ROUNDING_MS);
    const n_after = sent === undefined ? 0 : Infinity;
    if (known) this.conditions.splice(behind + 1, n_after);
    else this.conditions.splice(behind + 1, n_after, { state, detail, from, level_dbfs });
  }

  get #open() {
    return this.stretches.findLast(({ to }) => to === null);
  }

  #close(date) {
    const open = this.#open;
    if (open) open.to = Math.max(open.from, date);
  }
}
