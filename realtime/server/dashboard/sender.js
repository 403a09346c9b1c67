/**
 * Sends audio to a server's `/audio`, and hears what comes back.
 *
 *     const session = new AudioSession(url, protocols, { sample_rate: 48000, channels: 1, format: "f32le", name: "desk" }, onMessage);
 *     await session.ready;        // the server's `hello`
 *     await session.send(block);  // again and again; waits while the connection is busy
 *     await session.finish();     // the last events have come
 */

/** Bytes of audio in one message. */
const MESSAGE_BYTES = 1 << 16;
/** Bytes that may wait in the browser before `send` does. */
const MOST_WAITING = 1 << 20;
const POLL_MS = 10;

/**
 * Why a session ended: the server's `error` (its code and its words), or `lost` where the connection broke, or
 * never came about.
 */
export class SessionError extends Error {
  /** @param {string} code @param {string} [message] */
  constructor(code, message = "") {
    super(message);
    this.code = code;
  }
}

export class AudioSession {
  /** The server's greeting. @type {Promise<object>} */
  ready;
  /** Resolves after an orderly end; rejects with a `SessionError` after any other. @type {Promise<void>} */
  done;

  #socket;
  #most = MESSAGE_BYTES;
  #error = null;
  #isStopping = false;

  /**
   * @param {string} url
   * @param {string[]} protocols
   * @param {{sample_rate: number, channels: number, format: string, name?: string}} start  and what else `start` may hold
   * @param {(message: object, text: string) => void} onMessage  gets every message behind `hello`, as it came too
   */
  constructor(url, protocols, start, onMessage) {
    const socket = (this.#socket = new WebSocket(url, protocols));
    socket.binaryType = "arraybuffer";
    this.ready = new Promise((resolve, reject) => {
      socket.onopen = () => socket.send(JSON.stringify({ v: 1, type: "start", ...start }));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "hello") {
          this.#most = Math.min(MESSAGE_BYTES, message.max_message_bytes ?? MESSAGE_BYTES);
          resolve(message);
          return;
        }
        if (message.type === "error" && message.fatal) this.#error = new SessionError(message.code, message.message);
        onMessage(message, data);
      };
      this.done = new Promise((end, fail) => {
        socket.onclose = ({ code }) => {
          if (this.#isStopping && code === 1000 && !this.#error) end();
          else fail(this.#error ?? new SessionError("lost"));
          reject(this.#error ?? new SessionError("lost"));
        };
      });
    });
    // Who waits for one of them shall not have to look after the other.
    this.ready.catch(() => {});
    this.done.catch(() => {});
  }

  /** Whether audio can be sent now. */
  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** Bytes that wait in the browser. */
  get bufferedBytes() {
    return this.#socket.bufferedAmount;
  }

  /** Send samples, in order, while the connection is open. @param {ArrayBufferView} samples @returns {boolean} whether it was */
  post(samples) {
    if (!this.isOpen) return false;
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    for (let at = 0; at < bytes.length; at += this.#most) this.#socket.send(bytes.subarray(at, at + this.#most));
    return true;
  }

  /** Send samples, and wait while too much is on its way. @param {ArrayBufferView} samples */
  async send(samples) {
    if (!this.post(samples)) await this.done;
    while (this.isOpen && this.bufferedBytes > MOST_WAITING) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Say that all is sent; resolves with the last event. */
  finish() {
    this.#isStopping = true;
    if (this.isOpen) this.#socket.send(JSON.stringify({ v: 1, type: "stop" }));
    return this.done;
  }

  /** Break off. */
  abort() {
    this.#socket.close();
  }
}
