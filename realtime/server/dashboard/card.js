/**
 * One stream on the page: what it does, what it carries now, and its past.
 *
 * @typedef {import("./track.js").Track} Track
 * @typedef {object} Shared  what all cards have in common
 * @property {import("./texts.js").Texts} texts
 * @property {() => "light" | "dark"} theme
 * @property {() => number} now  the server's date, in milliseconds since 1970
 * @property {number} span_ms  how much of the past is shown
 * @property {number | null} cursor  the date that somebody points at
 * @property {boolean} connected
 * @property {(date: number | null) => void} point
 * @property {(direction: number) => void} zoom
 */

import { copyOf, make, say } from "./dom.js";
import { faceOf, signOf } from "./faces.js";
import { paint } from "./palette.js";
import { Probe } from "./probe.js";
import { Scales } from "./scales.js";
import { Timeline } from "./timeline.js";

/** A stream that says nothing for so long is not merely between two messages: a silent one speaks every 5 s. */
const QUIET_MS = 8_000;
const METER_FLOOR_DBFS = -60;
const HOT_DBFS = -3;
const LOUD_DBFS = -12;

export class Card {
  #shared;
  #parts;
  #timeline;
  #probe;
  #scales;
  #bars = [];
  #painted = "";
  #theme = "";

  /** Whether it can be seen, and is worth drawing. */
  visible = true;
  pinned = false;
  /** Since when the page sees it stopped, by the page's clock. @type {number | null} */
  stoppedAt = null;

  /** @param {Track} track @param {Shared} shared @param {() => void} onResize */
  constructor(track, shared, onResize) {
    this.track = track;
    this.#shared = shared;
    this.element = copyOf("card-template").firstElementChild;
    const find = (selector) => this.element.querySelector(selector);
    this.#parts = Object.fromEntries(
      ["state-icon", "state-name", "state-time", "name", "face", "emotion", "share", "why", "bars", "meter",
        "meter-fill", "level", "latency", "lost", "fact-lost", "timeline", "pin", "remove"]
        .map((name) => [name, find(`.${name}`)]),
    );
    const { name, pin, remove } = this.#parts;
    name.textContent = name.title = track.name;
    pin.append(signOf("pin"));
    remove.append(signOf("remove"));
    this.#timeline = new Timeline(find("canvas"), onResize);
    this.#probe = new Probe(this.#parts.timeline, find(".readout"), track, shared);
    this.#scales = new Scales(find(".scales"));
    this.#makeBars();
    this.translate();
  }

  /** What the stream does, as the page knows it: without news, not what was said last. */
  get state() {
    const { track } = this;
    const state = track.condition?.state ?? "starting";
    if (!this.#shared.connected) return "lost-connection";
    if (state === "stopped" || !track.known) return "stopped";
    return this.quiet_ms > Math.max(QUIET_MS, 4 * track.hop_ms) ? "quiet" : state;
  }

  /** How long nothing has come. */
  get quiet_ms() {
    return Date.now() - this.track.heard;
  }

  /** Say everything anew: the language or the theme is another one. */
  translate() {
    const { texts } = this.#shared;
    const { pin, remove, bars, meter } = this.#parts;
    texts.apply(this.element);
    this.#scales.translate(texts);
    pin.title = texts.t("live.pin", { name: this.track.name });
    remove.title = texts.t("live.remove", { name: this.track.name });
    pin.ariaLabel = pin.title;
    remove.ariaLabel = remove.title;
    bars.ariaLabel = texts.t("live.bars");
    meter.ariaLabel = texts.t("live.level");
    this.#theme = this.#painted = "";
  }

  /** Bring what is written up to date. */
  render() {
    const { track } = this;
    const { texts } = this.#shared;
    const state = this.state;
    const current = state === "listening" || state === "clipping" ? track.current : null;
    const stopped = state === "stopped";
    this.element.dataset.state = state;
    this.element.classList.toggle("predicting", current !== null);
    this.#parts.pin.ariaPressed = String(this.pinned);
    this.#parts.remove.hidden = !stopped;
    say(this.#parts["state-name"], texts.t(`live.${state}`));
    say(this.#parts["state-time"], this.#stateTime(state));
    this.#repaint(state, current);
    this.#renderHero(state, current);
    this.#renderBars(current);
    this.#scales.render(current, track.points.at(-1), texts);
    this.#renderFacts(state, current);
    this.#probe.render();
  }

  /** Draw the past, where it can be seen. */
  draw() {
    if (!this.visible) return;
    const { texts, theme, cursor, span_ms } = this.#shared;
    const to = this.edge;
    this.#timeline.draw(this.track, { from: to - span_ms, to, cursor, theme: theme(), texts });
  }

  /** How far the picture moves per millisecond, in device pixels. */
  get speed() {
    return this.#timeline.width / this.#shared.span_ms;
  }

  /** The date of the right edge: now, or later where a recording is heard faster than it was spoken. */
  get edge() {
    return Math.max(this.#shared.now(), this.track.end);
  }

  #stateTime(state) {
    const { texts, now } = this.#shared;
    const { condition } = this.track;
    // Of what the page found out by itself, nobody said since when.
    if (condition?.state !== state) return "";
    return texts.t("live.for", { time: texts.duration((now() - condition.from) / 1000) });
  }

  #repaint(state, current) {
    const { theme } = this.#shared;
    if (this.#theme !== theme()) {
      this.#theme = theme();
      this.#bars.forEach(({ item }, i) => paint(item, this.track.labels[i], this.#theme));
      this.#painted = "";
    }
    const painted = `${state} ${current?.label}`;
    if (this.#painted === painted) return;
    this.#painted = painted;
    this.#parts["state-icon"].replaceChildren(signOf(state));
    this.#parts.face.replaceChildren(current ? faceOf(current.label) : signOf(state));
    if (current) paint(this.element, current.label, this.#theme);
  }

  #renderHero(state, current) {
    const { texts, now } = this.#shared;
    const { emotion, share, why } = this.#parts;
    if (current) {
      say(emotion, texts.label(current.label));
      // The likeliest label's share says nothing of a model that abstains.
      say(share, current.label === "unknown" ? "" : texts.percent(current.probability));
      say(why, state === "clipping"
        ? texts.t("live.clipping-why")
        : texts.t("live.for", { time: texts.duration((now() - this.track.currentFrom) / 1000) }));
      return;
    }
    say(emotion, state === "listening" || state === "clipping" ? "…" : texts.t(`live.${state}`));
    say(share, "");
    say(why, this.#reason(state));
  }

  #reason(state) {
    const { texts } = this.#shared;
    const { condition } = this.track;
    if (state === "quiet") return texts.t("live.quiet-why", { time: texts.duration(this.quiet_ms / 1000) });
    // What the server says is more exact, but English.
    if (condition?.state === state && condition.detail && texts.language === "en") return condition.detail;
    return texts.has(`live.${state}-why`) ? texts.t(`live.${state}-why`) : "";
  }

  #makeBars() {
    for (const label of this.track.labels) {
      const [name, value, fill] = [make("span", "bar-name"), make("span", "bar-value"), make("span", "bar-fill")];
      const track = make("span", "bar-track", fill);
      track.ariaHidden = "true";
      const item = make("li", "bar-row", name, track, value);
      this.#parts.bars.append(item);
      this.#bars.push({ label, item, name, value, fill });
    }
  }

  #renderBars(current) {
    const { texts } = this.#shared;
    this.#bars.forEach(({ label, item, name, value, fill }, i) => {
      const share = current?.shares[i] ?? 0;
      say(name, texts.label(label));
      say(value, current ? texts.percent(share) : "–");
      item.classList.toggle("leads", current?.label === label);
      fill.style.transform = `scaleX(${share.toFixed(3)})`;
    });
  }

  #renderFacts(state, current) {
    const { texts } = this.#shared;
    const { meter, level, latency, lost } = this.#parts;
    const heard = state !== "lost-connection" && state !== "quiet" && state !== "stopped";
    const level_dbfs = heard ? (current?.level_dbfs ?? this.track.condition?.level_dbfs ?? null) : null;
    const share = level_dbfs === null ? 0 : Math.min(1, Math.max(0, 1 - level_dbfs / METER_FLOOR_DBFS));
    this.#parts["meter-fill"].style.transform = `scaleX(${share.toFixed(3)})`;
    meter.dataset.loud = level_dbfs > HOT_DBFS ? "hot" : level_dbfs > LOUD_DBFS && level_dbfs !== null ? "loud" : "";
    say(level, level_dbfs === null ? "–" : `${texts.number(level_dbfs, 0)} dBFS`);
    for (const [name, value] of [["ariaValueMin", -120], ["ariaValueMax", 0], ["ariaValueNow", Math.round(level_dbfs ?? -120)]]) {
      meter[name] = String(value);
    }
    meter.ariaValueText = level.textContent;
    const parts = current?.latency_ms;
    say(latency, parts ? `${texts.number(parts.queue + parts.features + parts.inference, 0)} ms` : "–");
    latency.title = parts ? texts.t("live.latency-parts", parts) : "";
    this.#parts["fact-lost"].hidden = this.track.lost_s === 0;
    say(lost, `${texts.number(this.track.lost_s, 2)} s`);
  }
}
