/**
 * One file on its way through the server.
 *
 * @typedef {"waiting" | "working" | "done" | "failed" | "cancelled"} JobState
 * @typedef {object} Failure  a text's key and what is filled in
 * @property {string} key
 * @property {Record<string, string | number>} values
 */

import { Analysis } from "./analysis.js";
import { DecodeError, openRecording } from "./decode.js";
import { Peaks } from "./peaks.js";
import { AudioSession, SessionError } from "./sender.js";

/** How often, and how long after one another, a file is tried that met a full or a lost server; in seconds. */
const RETRY_DELAYS_S = [1, 2, 4, 8, 15];
const RETRIED = new Set(["at_capacity", "lost"]);

export class Job {
  /** @type {JobState} */
  state = "waiting";
  /** Share of the samples that were sent, 0 to 1. */
  progress = 0;
  /** @type {Failure | null} */
  failure = null;
  /** @type {Analysis | null} */
  analysis = null;
  /** @type {Peaks | null} */
  peaks = null;
  /** Length of the file in seconds; 0 before that is known. */
  duration_s = 0;

  #session = null;
  #wake = () => {};
  /** Counts the runs: one that was cancelled may still be decoding when the next one begins. */
  #run = 0;

  /** @param {File} file @param {string} path  within the folder that was chosen */
  constructor(file, path) {
    this.file = file;
    this.path = path;
  }

  /** Whether it is neither done nor given up. */
  get isPending() {
    return this.state === "waiting" || this.state === "working";
  }

  /**
   * Read the file, send it and collect the answer; never rejects.
   *
   * @param {{url: (path: string) => string, protocols: () => string[]}} options
   * @param {() => void} onChange
   */
  async run(options, onChange) {
    const run = ++this.#run;
    const goesOn = () => run === this.#run && this.state === "working";
    this.state = "working";
    onChange();
    try {
      const recording = await openRecording(this.file);
      if (goesOn()) this.duration_s = recording.nFrames / recording.sampleRate;
      await this.#trySending(recording, options, onChange, goesOn);
      if (goesOn()) this.state = "done";
    } catch (error) {
      if (goesOn()) {
        this.state = "failed";
        this.failure = failureOf(error);
      }
    }
    onChange();
  }

  /** Give it up. */
  cancel() {
    if (!this.isPending) return;
    this.state = "cancelled";
    this.#session?.abort();
    this.#wake();
  }

  /** Forget the outcome, so that it can run again. */
  reset() {
    Object.assign(this, { state: "waiting", progress: 0, failure: null, analysis: null });
  }

  async #trySending(recording, options, onChange, goesOn) {
    for (let n = 0; goesOn(); n++) {
      try {
        await this.#send(recording, options, onChange, goesOn);
        return;
      } catch (error) {
        if (!RETRIED.has(error.code) || n === RETRY_DELAYS_S.length) throw error;
        await this.#pause(RETRY_DELAYS_S[n]);
      }
    }
  }

  async #send(recording, options, onChange, goesOn) {
    const { sampleRate, channels, format, nFrames } = recording;
    const start = { sample_rate: sampleRate, channels, format, name: "file", private: true, realtime: false };
    let analysis = null;
    const session = new AudioSession(options.url("/audio"), options.protocols(), start, (message, text) => {
      // A server that refuses says so instead of `hello`.
      analysis?.take(message, text);
    });
    this.#session = session;
    session.ready.then((hello) => (analysis = new Analysis(this.path, hello)), () => {});
    try {
      await session.ready;
      const peaks = new Peaks(recording);
      let nSent = 0;
      for await (const samples of recording.blocks()) {
        if (!goesOn()) return;
        peaks.take(samples);
        await session.send(samples);
        nSent += samples.length / channels;
        this.progress = nSent / nFrames;
        onChange();
      }
      await session.finish();
      if (goesOn()) Object.assign(this, { analysis, peaks });
    } finally {
      // A file that cannot be read any more leaves a connection behind, otherwise.
      session.abort();
    }
  }

  #pause(length_s) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, 1000 * length_s);
    });
  }
}

function failureOf(error) {
  if (error instanceof DecodeError) return { key: `files.error.${error.code}`, values: error.values };
  if (error instanceof SessionError && error.code === "lost") return { key: "files.error.lost", values: {} };
  if (error instanceof SessionError) return { key: "files.error.server", values: { why: error.message || error.code } };
  // A file that was moved or changed while it was read.
  return { key: "files.error.gone", values: {} };
}

/** Runs jobs, a few at a time, in the order in which they were added. */
export class Queue {
  #waiting = [];
  #nRunning = 0;

  /** @param {number} nAtOnce @param {(job: Job) => Promise<void>} run */
  constructor(nAtOnce, run) {
    this.#run = run;
    this.#nAtOnce = nAtOnce;
  }

  /** @param {Job[]} jobs */
  add(jobs) {
    this.#waiting.push(...jobs);
    this.#next();
  }

  async #next() {
    while (this.#nRunning < this.#nAtOnce && this.#waiting.length) {
      const job = this.#waiting.shift();
      if (job.state !== "waiting") continue;
      this.#nRunning += 1;
      this.#run(job).finally(() => {
        this.#nRunning -= 1;
        this.#next();
      });
    }
  }

  #run;
  #nAtOnce;
}
