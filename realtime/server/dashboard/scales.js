/**
 * How something is said, beside what is said: arousal and valence between their two ends, intensity from none on.
 *
 * @typedef {import("./texts.js").Texts} Texts
 * @typedef {import("./track.js").Point} Point
 */

import { make, say } from "./dom.js";

/** What a prediction may tell, and where its scale begins; all end at 1. */
const SCALES = [
  ["arousal", -1],
  ["valence", -1],
  ["intensity", 0],
];

/** Return what a point tells on its scales, as it is written. @param {Point} point @param {Texts} texts @returns {[string, string][]} */
export function scalesOf(point, texts) {
  return SCALES.filter(([name]) => point[name] !== null)
    .map(([name, from]) => [texts.t(`live.${name}`), written(point[name], from, texts)]);
}

/** The scales of one card. A model that has none of them has none of their rows either. */
export class Scales {
  #rows;
  #list;

  /** @param {HTMLElement} list  a `<dl>` to fill */
  constructor(list) {
    this.#list = list;
    this.#rows = SCALES.map(([name, from]) => {
      const [term, value] = [make("dt"), make("span", "scale-value")];
      const [low, high] = [make("span"), make("span")];
      const dot = make("span", "scale-dot");
      const meter = make("span", "scale-track", dot);
      meter.role = "meter";
      meter.ariaValueMin = String(from);
      meter.ariaValueMax = "1";
      const ends = make("span", "scale-ends", low, high);
      ends.ariaHidden = "true";
      const row = make("div", `scale scale-${name}`, term, make("dd", "", value, meter, ends));
      row.classList.toggle("two-sided", from < 0);
      list.append(row);
      return { name, from, row, term, value, meter, dot, low, high };
    });
  }

  /** Say everything anew, in another language. @param {Texts} texts */
  translate(texts) {
    for (const { name, term, meter, low, high, row } of this.#rows) {
      say(term, texts.t(`live.${name}`));
      say(low, texts.t(`live.${name}-low`));
      say(high, texts.t(`live.${name}-high`));
      row.title = texts.t(`live.${name}-what`);
      meter.ariaLabel = term.textContent;
    }
  }

  /**
   * Show what a prediction tells.
   *
   * @param {Point | null} current  null where there is none now
   * @param {Point | undefined} last  the newest there has been: what the model tells stays in its place
   * @param {Texts} texts
   */
  render(current, last, texts) {
    this.#list.hidden = !this.#rows.some(({ name }) => (last?.[name] ?? null) !== null);
    if (this.#list.hidden) return;
    for (const { name, from, row, value, meter, dot } of this.#rows) {
      row.hidden = last[name] === null;
      const at = current?.[name] ?? null;
      const text = at === null ? "–" : written(at, from, texts);
      say(value, text);
      dot.hidden = at === null;
      dot.style.left = `${(100 * ((at ?? 0) - from)) / (1 - from)}%`;
      meter.ariaValueNow = String(at ?? 0);
      meter.ariaValueText = text;
    }
  }
}

/** Return a value as it is written: with its sign where it has two sides, else as a share. */
function written(value, from, texts) {
  return from < 0 ? texts.signed(value) : texts.percent(value);
}
