/** Memory for results that are read at once and replaced by the next: large new arrays cost as much time as a sum over ranks. */
export class Scratch {
  #memory = new Float32Array(0);

  /** An array of this length, with any values. It is valid until the next call. */
  take(length: number): Float32Array<ArrayBuffer> {
    if (this.#memory.length < length) this.#memory = new Float32Array(length);
    return this.#memory.subarray(0, length);
  }
}
