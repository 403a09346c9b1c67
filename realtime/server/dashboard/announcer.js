/** Tells those who do not see the page what changed, now and then. */

import { say } from "./dom.js";

/** Not more often than this: speech takes its time, and nobody can listen to every hop. */
const PAUSE_MS = 5_000;

export class Announcer {
  #element;
  #texts;
  #told = new Map();
  #pending = new Map();
  #last = 0;

  /** @param {HTMLElement} element  a polite live region @param {import("./texts.js").Texts} texts */
  constructor(element, texts) {
    this.#element = element;
    this.#texts = texts;
  }

  /** Take note of what a stream does; only what differs from what was told is worth telling. @param {import("./track.js").Track} track @param {string} state */
  note(track, state) {
    const { current } = track;
    const what = current?.label ?? state;
    if (this.#told.get(track.name) === what) this.#pending.delete(track.name);
    else this.#pending.set(track.name, { track, state, what });
  }

  /** Forget a stream. @param {string} name */
  forget(name) {
    this.#told.delete(name);
    this.#pending.delete(name);
  }

  /** Tell what is pending, if the last time is long enough ago. */
  tick() {
    if (!this.#pending.size || Date.now() - this.#last < PAUSE_MS) return;
    this.#last = Date.now();
    const sentences = [...this.#pending.values()].map(({ track, state }) => this.#sentence(track, state));
    for (const [name, { what }] of this.#pending) this.#told.set(name, what);
    this.#pending.clear();
    say(this.#element, sentences.join(". "));
  }

  #sentence({ name, current }, state) {
    const texts = this.#texts;
    if (!current) return texts.t("live.announce-state", { name, state: texts.t(`live.${state}`) });
    return texts.t("live.announce", { name, label: texts.label(current.label), share: texts.percent(current.probability) });
  }
}
