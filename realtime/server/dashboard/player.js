/** Plays a file, and says where it is. */

export class Player {
  #audio = new Audio();
  #url = "";
  #frame = 0;
  #onChange;
  #fallback_s = 0;

  /** Whether this browser cannot play it. */
  isBroken = false;

  /** @param {() => void} onChange  called at each picture while it plays, and whenever it begins, stops or moves */
  constructor(onChange) {
    this.#onChange = onChange;
    for (const name of ["play", "pause", "seeked", "ended"]) this.#audio.addEventListener(name, () => this.#tell());
    this.#audio.addEventListener("error", () => {
      if (!this.#url) return;
      this.isBroken = true;
      this.#tell();
    });
  }

  /** Take another file; null: none. @param {File | null} file */
  load(file) {
    this.#audio.pause();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = file ? URL.createObjectURL(file) : "";
    this.isBroken = false;
    this.#fallback_s = 0;
    this.#audio.preload = "metadata";
    if (file) this.#audio.src = this.#url;
    else this.#audio.removeAttribute("src");
  }

  /** Whether it is to be heard now. */
  get isPlaying() {
    return !this.#audio.paused && !this.#audio.ended;
  }

  /** Where it is, in seconds. A file that cannot be played can still be looked at. */
  get at_s() {
    return this.isBroken ? this.#fallback_s : this.#audio.currentTime;
  }

  set at_s(seconds) {
    this.#fallback_s = seconds;
    if (!this.isBroken) this.#audio.currentTime = seconds;
    this.#tell();
  }

  /** Play, or pause. */
  async toggle() {
    if (this.isPlaying) {
      this.#audio.pause();
      return;
    }
    try {
      await this.#audio.play();
    } catch (error) {
      // Interrupted by a pause or by another file, which is no fault.
      if (error.name === "AbortError") return;
      this.isBroken = error.name === "NotSupportedError";
      this.#tell();
    }
  }

  pause() {
    this.#audio.pause();
  }

  #tell() {
    cancelAnimationFrame(this.#frame);
    this.#onChange();
    if (this.isPlaying) this.#frame = requestAnimationFrame(() => this.#tell());
  }
}
