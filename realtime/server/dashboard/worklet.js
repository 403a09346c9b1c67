/**
 * Runs in the browser's audio thread: hands the microphone's samples over in blocks of about 20 ms.
 *
 * Channels are mixed to one here, as the server would do.
 */

const BLOCK_S = 0.02;

class Recorder extends AudioWorkletProcessor {
  #block = this.#newBlock();
  #n = 0;

  /** @param {Float32Array[][]} inputs @returns {boolean} whether to go on */
  process([channels]) {
    // Without channels the microphone has nothing to say yet.
    const n = channels.length ? channels[0].length : 0;
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.#block[this.#n++] = sum / channels.length;
      if (this.#n === this.#block.length) this.#hand();
    }
    return true;
  }

  #hand() {
    // The memory goes along, instead of a copy of it.
    this.port.postMessage(this.#block, [this.#block.buffer]);
    this.#block = this.#newBlock();
    this.#n = 0;
  }

  #newBlock() {
    return new Float32Array(Math.round(BLOCK_S * sampleRate));
  }
}

registerProcessor("tonewatch-recorder", Recorder);
