/** What the server's clock shows, by a page whose own clock may show something else. */

/** A comparison counts for so long, and then again half as long at the most: clocks are set, and never equally fast. */
const SPAN_MS = 60_000;
/** How long what a server kept takes to arrive, at the most. */
const REPLAY_MS = 10_000;

export class ServerClock {
  /** The smallest delays of this half of the span and of the one before: how far the page's clock is ahead. */
  #delays_ms = [Infinity, Infinity];
  #began = 0;
  #greeted = -Infinity;

  /** The server's date now, as far as it is known; in milliseconds since 1970. */
  now() {
    const ahead_ms = Math.min(...this.#delays_ms);
    return Date.now() - (Number.isFinite(ahead_ms) ? ahead_ms : 0);
  }

  /** Take in a message. @param {{type: string, sent?: string, clock?: string}} message @param {number} heard  the page's date */
  note({ type, sent, clock }, heard) {
    if (type === "hello" && clock) {
      // Another server may have answered, and its history follows: that was sent long ago, or by another clock.
      this.#greeted = this.#began = heard;
      this.#delays_ms = [Infinity, Infinity];
    } else if (!clock && heard - this.#greeted < REPLAY_MS) {
      return;
    }
    // Behind a date that was set back, `sent` stands still: then the clock is told beside it.
    const delay_ms = heard - Date.parse(clock ?? sent);
    if (Number.isNaN(delay_ms)) return;
    const passed_ms = heard - this.#began;
    // What is old is given up when there is something new: a clock that is not quite right is better than none.
    if (passed_ms >= SPAN_MS / 2 || passed_ms < 0) {
      this.#delays_ms = [Infinity, passed_ms >= 0 && passed_ms < SPAN_MS ? this.#delays_ms[0] : Infinity];
      this.#began = heard;
    }
    this.#delays_ms[0] = Math.min(this.#delays_ms[0], delay_ms);
  }
}
