/** The part of a recording that is to be seen. */

/** Nobody needs to see less, in seconds. */
const LEAST_S = 2;
/** How much larger or smaller one step makes it. */
export const ZOOM = 2;

export class Span {
  from_s = 0;
  to_s = 0;
  #duration_s = 0;
  #onChange;

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  get length_s() {
    return this.to_s - this.from_s;
  }

  /** Whether all of the recording is to be seen. */
  get isWhole() {
    return this.length_s >= this.#duration_s;
  }

  /** Whether no more can be enlarged. */
  get isLeast() {
    return this.length_s <= Math.min(LEAST_S, this.#duration_s);
  }

  /** Begin with all of a recording. @param {number} duration_s */
  reset(duration_s) {
    [this.#duration_s, this.from_s, this.to_s] = [duration_s, 0, duration_s];
  }

  /** Show less (above 1) or more (below 1); `at_s` stays where it is on the screen. @param {number} factor @param {number} at_s */
  zoom(factor, at_s) {
    const length_s = Math.min(this.#duration_s, Math.max(LEAST_S, this.length_s / factor));
    const share = Math.min(1, Math.max(0, this.shareOf(at_s)));
    this.#show(at_s - share * length_s, length_s);
  }

  /** Move on by a share of what is seen. @param {number} share */
  move(share) {
    this.#show(this.from_s + share * this.length_s, this.length_s);
  }

  /** Move as far as it takes for a moment to be seen. @param {number} at_s */
  reveal(at_s) {
    if (at_s >= this.from_s && at_s <= this.to_s) return;
    this.#show(at_s - this.length_s / 20, this.length_s);
  }

  /** Where a moment is, 0 at the left edge and 1 at the right one. @param {number} at_s */
  shareOf(at_s) {
    return (at_s - this.from_s) / this.length_s;
  }

  #show(from_s, length_s) {
    const begin_s = Math.max(0, Math.min(this.#duration_s - length_s, from_s));
    if (begin_s === this.from_s && length_s === this.length_s) return;
    [this.from_s, this.to_s] = [begin_s, begin_s + length_s];
    this.#onChange();
  }
}
