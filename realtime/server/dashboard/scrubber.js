/** Shows and moves the place in a recording, with a pointer or with the keyboard: a slider over its picture. */

import { make } from "./dom.js";
import { paint } from "./palette.js";
import { ZOOM } from "./span.js";

const STEP_S = 1;
const JUMP_S = 10;
/** Shares below this are not worth a line. */
const WORTH = 0.005;

export class Scrubber {
  #element;
  #head = make("div", "playhead");
  #readout = make("div", "readout");
  #options;
  #texts;
  #player;
  #span;
  #job = null;

  /**
   * @param {HTMLElement} element  around the picture
   * @param {import("./player.js").Player} player
   * @param {import("./span.js").Span} span  what is to be seen
   * @param {{theme: () => "light" | "dark"}} options
   * @param {import("./texts.js").Texts} texts
   */
  constructor(element, player, span, options, texts) {
    [this.#element, this.#player, this.#span, this.#options, this.#texts] = [element, player, span, options, texts];
    element.append(this.#head, this.#readout);
    element.role = "slider";
    element.tabIndex = 0;
    element.ariaOrientation = "horizontal";
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      player.at_s = this.#secondsAt(event);
    });
    element.addEventListener("pointermove", (event) => {
      const at_s = this.#secondsAt(event);
      if (element.hasPointerCapture(event.pointerId)) player.at_s = at_s;
      this.#read(at_s);
    });
    element.addEventListener("pointerleave", () => (this.#readout.hidden = true));
    element.addEventListener("keydown", (event) => this.#press(event));
    element.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    this.#readout.hidden = true;
  }

  /** Take another recording. @param {import("./job.js").Job} job */
  show(job) {
    this.#job = job;
    this.#readout.hidden = true;
    this.render();
  }

  /** Show where the player is. */
  render() {
    const job = this.#job;
    if (!job) return;
    const texts = this.#texts;
    const at_s = Math.min(this.#player.at_s, job.duration_s);
    const share = this.#span.shareOf(at_s);
    this.#head.hidden = share < 0 || share > 1;
    this.#head.style.left = `${100 * share}%`;
    this.#element.ariaLabel = texts.t("files.position", { name: job.path });
    this.#element.ariaDescription = texts.t("files.position-help");
    this.#element.ariaValueMin = "0";
    this.#element.ariaValueMax = job.duration_s.toFixed(1);
    this.#element.ariaValueNow = at_s.toFixed(1);
    const window = job.analysis.windowAt(at_s);
    const what = window ? `${texts.label(window.label)} ${texts.percent(window.probability)}` : texts.t("files.no-voice");
    this.#element.ariaValueText = `${texts.duration(at_s)}, ${what}`;
  }

  #secondsAt({ clientX }) {
    const { left, width } = this.#element.getBoundingClientRect();
    return this.#span.from_s + Math.min(1, Math.max(0, (clientX - left) / width)) * this.#span.length_s;
  }

  #press(event) {
    const { duration_s } = this.#job;
    const steps = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S, PageDown: -JUMP_S, PageUp: JUMP_S };
    if (event.key in steps) this.#player.at_s = Math.min(duration_s, Math.max(0, this.#player.at_s + steps[event.key]));
    else if (event.key === "Home") this.#player.at_s = 0;
    else if (event.key === "End") this.#player.at_s = duration_s;
    else if (event.key === " ") this.#player.toggle();
    else if (event.key === "+" || event.key === "=") this.#span.zoom(ZOOM, this.#player.at_s);
    else if (event.key === "-") this.#span.zoom(1 / ZOOM, this.#player.at_s);
    else return;
    event.preventDefault();
  }

  #turn(event) {
    // A wheel alone scrolls the page; with Ctrl it zooms, as do two fingers on a touchpad, and sideways it moves.
    if (event.ctrlKey) this.#span.zoom(ZOOM ** (-event.deltaY / 100), this.#secondsAt(event));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.#span.move(event.deltaX / this.#element.clientWidth);
    else return;
    event.preventDefault();
  }

  #read(at_s) {
    const { analysis } = this.#job;
    const texts = this.#texts;
    const window = analysis.windowAt(at_s);
    const rows = [make("p", "readout-time", texts.duration(at_s))];
    if (window) {
      const order = [...window.smoothed.keys()].sort((a, b) => window.smoothed[b] - window.smoothed[a]);
      for (const i of order.filter((k) => window.smoothed[k] >= WORTH)) {
        const label = analysis.labels[i];
        const row = make("p", "readout-row", make("span", "swatch"), make("span", "", texts.label(label)), make("b", "", texts.percent(window.smoothed[i])));
        row.classList.toggle("leads", label === window.label);
        paint(row, label, this.#options.theme());
        rows.push(row);
      }
    } else {
      rows.push(make("p", "", texts.t("files.no-voice")));
    }
    this.#readout.replaceChildren(...rows);
    this.#readout.hidden = false;
    const share = this.#span.shareOf(at_s);
    this.#readout.style.left = `${100 * share}%`;
    this.#readout.classList.toggle("to-the-left", share > 0.5);
  }
}
