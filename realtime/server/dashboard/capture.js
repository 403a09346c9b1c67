/**
 * The browser's microphone as blocks of samples.
 *
 * @typedef {"insecure" | "unsupported" | "denied" | "denied-system" | "no-device" | "busy" | "failed"} CaptureFault
 */

/** Why there is no microphone: `code` is `mic.` and a key of texts-files.js. */
export class CaptureError extends Error {
  /** @param {CaptureFault} code @param {string} [message] the browser's words */
  constructor(code, message = "") {
    super(message);
    this.code = code;
  }
}

/** A pause shorter than this is not worth a word: so long takes a context to begin, or to be woken up. */
const GRACE_MS = 500;

export class Capture {
  #stream;
  #context;
  #closed = new AbortController();
  #timer = 0;

  /** Samples per second of the blocks, in Hz. */
  get sampleRate() {
    return this.#context.sampleRate;
  }

  /** The device that is open. */
  get deviceId() {
    return this.#track.getSettings().deviceId ?? "";
  }

  get #track() {
    return this.#stream.getAudioTracks()[0];
  }

  /**
   * Ask for a microphone, and open it.
   *
   * @param {string} deviceId  which; empty: whichever the system chooses
   * @returns {Promise<Capture>}
   * @throws {CaptureError}
   */
  static async open(deviceId) {
    if (!globalThis.isSecureContext) throw new CaptureError("insecure");
    if (!navigator.mediaDevices?.getUserMedia || !globalThis.AudioWorkletNode) throw new CaptureError("unsupported");
    const capture = new Capture();
    try {
      capture.#stream = await request(deviceId);
      capture.#context = new AudioContext({ latencyHint: "interactive" });
      await capture.#context.audioWorklet.addModule("worklet.js");
    } catch (error) {
      capture.close();
      throw faultOf(error);
    }
    return capture;
  }

  /**
   * Begin.
   *
   * @param {object} heard
   * @param {(samples: Float32Array) => void} heard.onBlock
   * @param {(muted: boolean) => void} heard.onMuted
   * @param {(paused: boolean) => void} heard.onPaused  whether the browser holds the page's sound back: no blocks come
   * @param {() => void} heard.onEnded
   */
  start({ onBlock, onMuted, onPaused, onEnded }) {
    const track = this.#track;
    track.addEventListener("mute", () => onMuted(true));
    track.addEventListener("unmute", () => onMuted(false));
    track.addEventListener("ended", onEnded);
    const recorder = new AudioWorkletNode(this.#context, "tonewatch-recorder", { numberOfOutputs: 0 });
    recorder.port.onmessage = ({ data }) => onBlock(data);
    this.#context.createMediaStreamSource(this.#stream).connect(recorder);
    // Browsers hold a page's sound back until somebody touches the page, in the background, or during a call; not
    // every one of them lets go by itself.
    const attend = () => {
      clearTimeout(this.#timer);
      if (this.#isPaused) this.#timer = setTimeout(() => onPaused(true), GRACE_MS);
      else onPaused(false);
      this.#wake();
    };
    this.#listen(this.#context, "statechange", attend);
    for (const type of ["visibilitychange", "pointerdown", "keydown"]) this.#listen(document, type, () => this.#wake());
    attend();
    if (track.muted) onMuted(true);
  }

  get #isPaused() {
    return this.#context.state !== "running";
  }

  #listen(target, type, heard) {
    target.addEventListener(type, heard, { signal: this.#closed.signal });
  }

  /** Nobody waits for it: as long as the browser does not want to, it does not answer either. */
  #wake() {
    if (this.#isPaused) this.#context.resume().catch(() => {});
  }

  /** Give the microphone back; may be called twice. */
  close() {
    this.#closed.abort();
    clearTimeout(this.#timer);
    this.#stream?.getTracks().forEach((track) => track.stop());
    if (this.#context && this.#context.state !== "closed") this.#context.close();
  }
}

/** Return the microphones there are; their names are only told after permission was given. @returns {Promise<MediaDeviceInfo[]>} */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && deviceId !== "default" && deviceId !== "communications");
}

async function request(deviceId) {
  // What calls need takes away what emotions are told by: loudness, breath, the room between words.
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: deviceId ? { ...plain, deviceId: { exact: deviceId } } : plain });
  } catch (error) {
    // The one from last time is not there any more.
    if (deviceId && error.name === "OverconstrainedError") return request("");
    throw error;
  }
}

function faultOf(error) {
  switch (error.name) {
    case "NotAllowedError":
      // Chromium says whose refusal it is; the advice is another one.
      return new CaptureError(/system/i.test(error.message) ? "denied-system" : "denied", error.message);
    case "SecurityError":
      return new CaptureError("denied", error.message);
    case "NotFoundError":
    case "OverconstrainedError":
      return new CaptureError("no-device", error.message);
    case "NotReadableError":
      return new CaptureError("busy", error.message);
    default:
      return new CaptureError("failed", error.message || error.name);
  }
}
