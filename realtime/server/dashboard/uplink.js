/**
 * Sends live audio to a server, and goes on after a lost connection as the same stream.
 *
 * What cannot be sent meanwhile is kept, up to a bound; behind that the oldest is lost, and counted.
 */

import { AudioSession, SessionError } from "./sender.js";

/** Audio that is kept while there is no connection, in seconds. */
export const KEPT_S = 10;
/** Audio that may wait in the browser on a slow connection, in seconds. */
const LATE_S = 5;
/** How long the server may take over the last events, in seconds. */
const CLOSE_S = 2;
const FIRST_DELAY_S = 0.5;
const LAST_DELAY_S = 10;
const DELAY_FACTOR = 1.6;
/** The server keeps a stream for a minute whose sender it lost; within that its name is not another's. */
const RETRIED = new Set(["lost", "name_taken", "at_capacity"]);

/**
 * @typedef {object} UplinkState
 * @property {"connecting" | "open" | "waiting" | "idle" | "failed"} state
 *     `idle`: there was nothing to send for so long that the server hung up; it goes on with the next samples
 * @property {number} [retryInS]
 * @property {import("./sender.js").SessionError} [error]  why it failed
 */

export class Uplink {
  /** Audio that was lost for want of a connection, in seconds. */
  lost_s = 0;
  /** Audio that is kept, in seconds. */
  kept_s = 0;

  #session = null;
  #isReady = false;
  #kept = [];
  #timer = 0;
  #delayS = FIRST_DELAY_S;
  #wasOpen = false;
  #isIdle = false;
  #isClosed = false;
  #options;
  #start;
  #onState;

  /**
   * @param {{url: (path: string) => string, protocols: () => string[]}} options
   * @param {{name: string, sampleRate: number}} stream
   * @param {(change: UplinkState) => void} onState
   */
  constructor(options, { name, sampleRate }, onState) {
    this.#options = options;
    this.#start = { sample_rate: sampleRate, channels: 1, format: "f32le", name };
    this.#onState = onState;
    this.#open();
  }

  /** Send samples now, or keep them. @param {Float32Array} samples  mono */
  push(samples) {
    if (this.#isClosed) return;
    if (this.#isReady && this.#session.post(samples)) {
      // Nobody takes it: whatever the browser believes, there is no connection any more.
      if (this.#session.bufferedBytes > 4 * LATE_S * this.#start.sample_rate) this.#lose(this.#session, new SessionError("lost"));
      return;
    }
    this.#kept.push(samples);
    this.kept_s += samples.length / this.#start.sample_rate;
    while (this.kept_s > KEPT_S) {
      const oldest_s = this.#kept.shift().length / this.#start.sample_rate;
      this.kept_s -= oldest_s;
      this.lost_s += oldest_s;
    }
    if (this.#isIdle) this.#open();
  }

  /** End the stream in order; resolves when the server has let go of its name, or after a while. */
  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (!this.#isReady) {
      this.#session?.abort();
      return;
    }
    const late = new Promise((resolve) => setTimeout(resolve, 1000 * CLOSE_S));
    await Promise.race([this.#session.finish().catch(() => {}), late]);
  }

  async #open() {
    this.#isIdle = false;
    this.#onState({ state: "connecting" });
    const kept_s = () => this.kept_s;
    const start = {
      ...this.#start,
      // As much as there is when it is sent, which is a while after this.
      get backlog_s() {
        return kept_s();
      },
    };
    const session = new AudioSession(this.#options.url("/audio"), this.#options.protocols(), start, () => {});
    this.#session = session;
    try {
      await session.ready;
      if (this.#isClosed || session !== this.#session) return;
      this.#isReady = this.#wasOpen = true;
      this.#delayS = FIRST_DELAY_S;
      for (const samples of this.#kept.splice(0)) session.post(samples);
      this.kept_s = 0;
      this.#onState({ state: "open" });
      await session.done;
    } catch (error) {
      this.#lose(session, error);
    }
  }

  #lose(session, error) {
    if (session !== this.#session || this.#isClosed) return;
    session.abort();
    this.#session = null;
    this.#isReady = false;
    if (error.code === "stalled" && this.#wasOpen) {
      // Another connection would be as silent as this one.
      this.#isIdle = true;
      this.#onState({ state: "idle" });
      return;
    }
    // The first time somebody waits for an answer: a name that is taken then is somebody else's.
    if (!RETRIED.has(error.code) || !this.#wasOpen) {
      this.#isClosed = true;
      this.#onState({ state: "failed", error });
      return;
    }
    // A little earlier or later, so that many pages do not come back at once.
    const retryInS = this.#delayS * (0.5 + Math.random() / 2);
    this.#delayS = Math.min(this.#delayS * DELAY_FACTOR, LAST_DELAY_S);
    this.#timer = setTimeout(() => this.#open(), 1000 * retryInS);
    this.#onState({ state: "waiting", retryInS });
  }
}
