/** The browser's microphone: one button, and while it is in use a line with its settings and its level. */

import { Capture, CaptureError, microphones } from "./capture.js";
import { keep, make, recall, say } from "./dom.js";
import { SessionError } from "./sender.js";
import "./texts-files.js";
import { KEPT_S, Uplink } from "./uplink.js";

const FLOOR_DBFS = -60;
/** How fast the meter falls, in dB per second: it rises at once, as people expect of meters. */
const FALL = 50;
const LONGEST_NAME = 64;

/**
 * Let `button` send the microphone to the server.
 *
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} status  a live region, which is told what happens
 * @param {import("./app.js").Options} options
 * @param {import("./texts.js").Texts} texts
 */
export function mountMicrophone(button, status, options, texts) {
  new Microphone(button, status, options, texts);
}

class Microphone {
  #button;
  #status;
  #options;
  #texts;
  #panel = make("form", "microphone-panel");
  #device = make("select", "microphone-device");
  #name = make("input", "microphone-name");
  #meter = make("span", "microphone-meter", make("span", "microphone-fill"));
  #capture = null;
  #uplink = null;
  #fault = null;
  #state = { state: "off" };
  #isMuted = false;
  #isPaused = false;
  #level = FLOOR_DBFS;
  #levelAt = 0;
  /** Counts the attempts: whoever presses stop while the browser asks has changed their mind. */
  #attempt = 0;

  constructor(button, status, options, texts) {
    [this.#button, this.#status, this.#options, this.#texts] = [button, status, options, texts];
    this.#buildPanel();
    status.after(this.#panel);
    button.addEventListener("click", () => (this.#state.state === "off" ? this.#begin() : this.#end()));
    this.#device.addEventListener("change", () => {
      keep("microphone", this.#device.value);
      this.#restart();
    });
    this.#name.addEventListener("change", () => {
      this.#name.value = cleaned(this.#name.value);
      keep("name", this.#name.value);
      this.#restart();
    });
    // A page that is left keeps nothing open, whatever the browser remembers of it.
    addEventListener("pagehide", () => this.#end());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#capture && this.#listDevices());
    texts.onChange(() => {
      if (this.#capture) this.#listDevices();
      this.#render();
    });
    setInterval(() => this.#tick(), 250);
    this.#render();
  }

  #buildPanel() {
    this.#name.value = cleaned(recall("name") ?? "");
    keep("name", this.#name.value);
    this.#name.maxLength = LONGEST_NAME;
    this.#name.autocomplete = "off";
    this.#name.spellcheck = false;
    const field = (key, element) => {
      const caption = make("span", "caption");
      caption.dataset.text = key;
      return make("label", "microphone-field", caption, element);
    };
    this.#meter.role = "meter";
    this.#meter.dataset.label = "mic.level";
    [this.#meter.ariaValueMin, this.#meter.ariaValueMax] = [String(FLOOR_DBFS), "0"];
    this.#panel.append(field("mic.device", this.#device), field("mic.name", this.#name), this.#meter);
    // A landmark needs a name.
    this.#panel.dataset.label = "mic.device";
    this.#panel.addEventListener("submit", (event) => event.preventDefault());
  }

  async #begin() {
    const attempt = ++this.#attempt;
    this.#fault = null;
    this.#state = { state: "asking" };
    this.#render();
    try {
      const capture = await Capture.open(recall("microphone") ?? "");
      if (attempt !== this.#attempt) {
        capture.close();
        return;
      }
      this.#capture = capture;
      this.#isMuted = this.#isPaused = false;
      this.#level = FLOOR_DBFS;
      const stream = { name: this.#name.value, sampleRate: capture.sampleRate };
      this.#uplink = new Uplink(this.#options, stream, (change) => attempt === this.#attempt && this.#follow(change));
      capture.start({
        onBlock: (samples) => this.#take(samples),
        onMuted: (isMuted) => ((this.#isMuted = isMuted), this.#render()),
        onPaused: (isPaused) => ((this.#isPaused = isPaused), this.#render()),
        onEnded: () => attempt === this.#attempt && this.#end({ key: "mic.ended" }),
      });
      this.#listDevices();
    } catch (error) {
      if (attempt === this.#attempt) this.#end(faultOf(error, this.#name.value));
    }
  }

  /** @param {{key: string, values?: object} | null} [fault]  why it ends, where nobody asked for that */
  async #end(fault = null) {
    this.#attempt += 1;
    const uplink = this.#uplink;
    this.#capture?.close();
    this.#uplink = this.#capture = null;
    this.#fault = fault;
    this.#state = { state: "off" };
    this.#render();
    await uplink?.close();
  }

  async #restart() {
    // Until then its name would be taken by itself.
    if (this.#state.state !== "off") await this.#end();
    if (this.#state.state === "off") this.#begin();
  }

  #follow(change) {
    if (change.state === "failed") {
      this.#end(faultOf(change.error, this.#name.value));
      return;
    }
    this.#state = change;
    if (change.state === "waiting") this.#options.suspect?.();
    this.#render();
  }

  #take(samples) {
    this.#uplink?.push(samples);
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    const level = 10 * Math.log10(sum / samples.length + 1e-12);
    [this.#level, this.#levelAt] = [Math.max(level, this.#fallen), performance.now()];
  }

  /** The level as it has fallen since the last block, by time: where no more blocks come, nothing is heard. */
  get #fallen() {
    return this.#level - (FALL * (performance.now() - this.#levelAt)) / 1000;
  }

  #tick() {
    if (this.#state.state === "off") return;
    const level = Math.min(0, Math.max(FLOOR_DBFS, this.#fallen));
    this.#meter.firstChild.style.transform = `scaleX(${1 - level / FLOOR_DBFS})`;
    this.#meter.ariaValueNow = level.toFixed(0);
    this.#meter.ariaValueText = `${level.toFixed(0)} dBFS`;
    this.#render();
  }

  async #listDevices() {
    const devices = await microphones();
    const wanted = recall("microphone") ?? "";
    const options = devices.map(({ deviceId, label }, i) => {
      return new Option(label || this.#texts.t("mic.unnamed", { n: i + 1 }), deviceId, false, deviceId === wanted);
    });
    this.#device.replaceChildren(new Option(this.#texts.t("mic.default"), "", false, !wanted), ...options);
  }

  #render() {
    const texts = this.#texts;
    const { state } = this.#state;
    const isOn = state !== "off";
    texts.apply(this.#panel);
    say(this.#button, texts.t(isOn ? "mic.stop" : "mic.start"));
    this.#button.ariaPressed = String(isOn);
    this.#button.classList.toggle("in-use", isOn);
    // A name that is taken is corrected there.
    this.#panel.hidden = !(this.#capture || this.#fault?.key === "mic.taken");
    this.#status.classList.toggle("fault", !isOn && this.#fault !== null);
    say(this.#status, this.#words());
  }

  #words() {
    const texts = this.#texts;
    const fault = this.#fault ? texts.t(this.#fault.key, this.#fault.values) : "";
    // Whatever the connection does, there is nothing to send.
    if (this.#capture && this.#isPaused) return texts.t("mic.paused");
    switch (this.#state.state) {
      case "off":
        return fault;
      case "asking":
        return texts.t("mic.asking");
      case "connecting":
        return texts.t("mic.connecting");
      case "waiting":
        return texts.t("mic.waiting", { s: KEPT_S });
      case "idle":
        return texts.t("mic.paused");
      default: {
        const words = [texts.t(this.#isMuted ? "mic.muted" : "mic.on", { name: this.#name.value })];
        const lost_s = this.#uplink.lost_s;
        if (lost_s > 0) words.push(texts.t("mic.dropped", { s: lost_s }));
        return words.join(" ");
      }
    }
  }
}

/** Return a name that the server takes. @param {string} name */
function cleaned(name) {
  const printable = name.replace(/[\p{C}\p{Z}]+/gu, " ").trim();
  // Counted as the server counts them; a made-up one tells several browsers apart.
  return [...printable].slice(0, LONGEST_NAME).join("") || `browser-${Math.random().toString(36).slice(2, 6)}`;
}

function faultOf(error, name) {
  if (error instanceof CaptureError) return { key: `mic.${error.code}`, values: { why: error.message } };
  if (!(error instanceof SessionError)) return { key: "mic.failed", values: { why: error.message } };
  if (error.code === "at_capacity") return { key: "mic.full" };
  if (error.code === "name_taken") return { key: "mic.taken", values: { name } };
  return error.code === "lost" ? { key: "mic.unreachable" } : { key: "mic.refused", values: { why: error.message } };
}
