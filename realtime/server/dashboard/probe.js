/**
 * Reads values from a timeline, with a pointer or with the keyboard.
 *
 * To assistive technology the timeline is a slider over the predictions that are to be seen.
 */

import { make } from "./dom.js";
import { paint } from "./palette.js";
import { scalesOf } from "./scales.js";

const JUMP = 10;
/** Shares below this are not worth a line. */
const WORTH = 0.005;

export class Probe {
  #element;
  #readout;
  #track;
  #shared;
  #pointed = false;

  /**
   * @param {HTMLElement} element  the timeline
   * @param {HTMLElement} readout  where the values go; inside of it
   * @param {import("./track.js").Track} track
   * @param {import("./card.js").Shared} shared
   */
  constructor(element, readout, track, shared) {
    [this.#element, this.#readout, this.#track, this.#shared] = [element, readout, track, shared];
    element.addEventListener("pointermove", (event) => this.#pointAt(event));
    element.addEventListener("pointerdown", (event) => this.#pointAt(event));
    element.addEventListener("pointerleave", () => this.#leave());
    element.addEventListener("blur", () => this.#leave());
    element.addEventListener("keydown", (event) => this.#press(event));
    element.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
  }

  /** Show what is under the cursor, and tell assistive technology. */
  render() {
    const { texts, cursor, span_ms } = this.#shared;
    const element = this.#element;
    const to = this.#edge;
    const date = cursor ?? to;
    const span = texts.duration(span_ms / 1000);
    element.ariaLabel = texts.t("live.timeline", { name: this.#track.name, span });
    element.ariaDescription = texts.t("live.timeline-help");
    element.ariaValueMin = String(Math.round((to - span_ms) / 1000));
    element.ariaValueMax = String(Math.round(to / 1000));
    element.ariaValueNow = String(Math.round(date / 1000));
    element.ariaValueText = this.#describe(date);
    const shown = this.#pointed && cursor !== null && cursor >= to - span_ms;
    this.#readout.hidden = !shown;
    if (shown) this.#fill(cursor, (cursor - to + span_ms) / span_ms);
  }

  get #edge() {
    return Math.max(this.#shared.now(), this.#track.end);
  }

  #pointAt({ clientX }) {
    const { left, width } = this.#element.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (clientX - left) / width));
    this.#pointed = true;
    this.#shared.point(this.#edge - this.#shared.span_ms * (1 - share));
  }

  #leave() {
    this.#pointed = false;
    this.#shared.point(null);
  }

  #press(event) {
    const { key } = event;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -JUMP, PageUp: JUMP, Home: -Infinity, End: Infinity };
    if (key in steps) this.#step(steps[key]);
    else if (key === "+" || key === "=") this.#shared.zoom(-1);
    else if (key === "-") this.#shared.zoom(1);
    else if (key === "Escape") this.#leave();
    else return;
    event.preventDefault();
  }

  #step(n) {
    const { points } = this.#track;
    if (!points.length) return;
    const first = this.#track.indexAt(this.#edge - this.#shared.span_ms);
    const { cursor } = this.#shared;
    const at = cursor === null ? points.length : this.#track.indexAt(cursor);
    const index = Math.min(points.length - 1, Math.max(Math.min(first, points.length - 1), at + n));
    this.#pointed = true;
    this.#shared.point(points[index].at);
  }

  #turn(event) {
    // A wheel alone scrolls the page; with Ctrl it zooms, as do two fingers on a touchpad.
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.#shared.zoom(Math.sign(event.deltaY));
  }

  #describe(date) {
    const { texts } = this.#shared;
    const point = this.#track.pointAt(date);
    const what = point ? `${texts.label(point.label)} ${texts.percent(point.probability)}` : this.#why(date);
    return `${texts.time(date)}, ${what}`;
  }

  #why(date) {
    const { texts } = this.#shared;
    const state = this.#track.conditionAt(date)?.state;
    return state && state !== "listening" && state !== "clipping" ? texts.t(`live.${state}`) : texts.t("live.nothing");
  }

  #fill(date, share) {
    const { texts, theme } = this.#shared;
    const point = this.#track.pointAt(date);
    const rows = [make("p", "readout-time", texts.time(date))];
    if (point) {
      const order = [...point.shares.keys()].sort((a, b) => point.shares[b] - point.shares[a]);
      for (const i of order.filter((k) => point.shares[k] >= WORTH)) {
        const label = this.#track.labels[i];
        const row = make("p", "readout-row", make("span", "swatch"), make("span", "", texts.label(label)), make("b", "", texts.percent(point.shares[i])));
        row.classList.toggle("leads", label === point.label);
        paint(row, label, theme());
        rows.push(row);
      }
      rows.push(...scalesOf(point, texts).map(([name, value]) => make("p", "readout-row readout-scale", make("span", "", name), make("b", "", value))));
    } else {
      rows.push(make("p", "", this.#why(date)));
    }
    this.#readout.replaceChildren(...rows);
    this.#readout.style.left = `${(100 * share).toFixed(2)}%`;
    this.#readout.classList.toggle("to-the-left", share > 0.5);
  }
}
