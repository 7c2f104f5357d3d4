/**
 * The bytes of a pickle, read from front to back: lengths, lines, texts and byte strings. Every length is checked against the bytes
 * that are left before anything is allocated, and what is built is charged to a budget, because references can make a small pickle
 * describe a large value.
 */

import { StableDiffusionError } from '../../errors.ts';

const budget = 256 * 2 ** 20;

/** A cursor over the bytes of a pickle. Its methods throw `file-truncated` where the bytes end too early. */
export class PickleReader {
  /** Offset of the next byte. */
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #label: string;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #frameEnd = 0;
  #spent = 0;

  constructor(bytes: Uint8Array, label: string, start: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#label = label;
    this.at = start;
  }

  /** The error `file-corrupt` for this place. */
  corrupt(reason: string, cause?: unknown): StableDiffusionError {
    return new StableDiffusionError(
      'file-corrupt',
      `${this.#label}: its pickle is malformed at byte ${this.at}: ${reason}. Get the file again.`,
      { cause },
    );
  }

  /** The error of this code, about this pickle: `predicate` follows "its pickle". */
  refusal(code: 'file-unsafe' | 'file-unsupported', predicate: string): StableDiffusionError {
    return new StableDiffusionError(code, `${this.#label}: its pickle ${predicate}`);
  }

  /** Charges `cost` bytes to the budget. Throws `file-unsafe` where it is spent. */
  charge(cost: number): void {
    this.#spent += cost;
    if (this.#spent > budget)
      throw this.refusal(
        'file-unsafe',
        `describes more than ${budget / 2 ** 20} MiB of values other than tensors. It is not the pickle of a checkpoint.`,
      );
  }

  /** Passes over `length` bytes and returns the offset of the first. */
  take(length: number): number {
    const left = this.#bytes.length - this.at;
    if (length > left)
      throw new StableDiffusionError(
        'file-truncated',
        `${this.#label}: its pickle ends too early: ${length} bytes were expected at byte ${this.at}, and ${left} are left. Get the file again.`,
      );
    this.at += length;
    return this.at - length;
  }

  uint8(): number {
    return this.#view.getUint8(this.take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.take(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.take(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.take(4), true);
  }

  /** Big-endian, unlike the rest. */
  float64(): number {
    return this.#view.getFloat64(this.take(8), false);
  }

  /** A length of 8 bytes; beyond 2^53 it is 2^53 - 1, which no file has. */
  length64(): number {
    const length = this.#view.getBigUint64(this.take(8), true);
    return length > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(length);
  }

  text(length: number): string {
    const from = this.take(length);
    this.charge(2 * length);
    try {
      return this.#utf8.decode(this.#bytes.subarray(from, this.at));
    } catch (cause) {
      throw this.corrupt('a text is not UTF-8', cause);
    }
  }

  byteString(length: number): Uint8Array {
    const from = this.take(length);
    this.charge(length);
    return this.#bytes.slice(from, this.at);
  }

  /** The text up to the next line feed. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.at);
    const value = this.text((end < 0 ? this.#bytes.length : end) - this.at);
    this.take(1);
    return value;
  }

  /** Begins a frame (protocol 4). Frames do not nest. */
  frame(): void {
    const length = this.length64();
    if (this.at < this.#frameEnd) throw this.corrupt('a frame begins within another');
    this.#frameEnd = this.take(length) + length;
    this.at = this.#frameEnd - length;
  }
}
