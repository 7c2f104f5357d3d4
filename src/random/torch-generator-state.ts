/**
 * The 5,056 bytes of `torch.get_rng_state()` and of a CPU generator's `get_state()` (ATen `CPUGeneratorImplState`), little-endian:
 * seed u64, left i32, seeded i32, next u64, 624 words u64 each, normal_x, normal_y, normal_rho f64, normal_is_valid i32 (padded to 8),
 * next_float_normal f32, its validity bool (padded to 8). A training run saved by either side resumes exactly in the other.
 */

import { StableDiffusionError } from '../errors.ts';

export interface TorchState {
  /** Unsigned, 64 bits. */
  readonly seed: bigint;
  /** 624 words of the Mersenne Twister. */
  readonly words: Uint32Array;
  /** Words of the block already drawn, 0 … 624. */
  readonly position: number;
  /** The waiting second value of a Box–Muller pair. */
  readonly cachedNormal: number | undefined;
}

const SIZE = 5056;
const WORDS = 624;
const WORDS_AT = 24;
const NORMAL_Y_AT = 5024;
const NORMAL_VALID_AT = 5040;

export function encodeTorchState(state: TorchState): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, state.seed, true);
  // PyTorch counts the words left down to 1; a spent block and a fresh seed both read 1.
  view.setInt32(8, WORDS - state.position + 1, true);
  view.setInt32(12, 1, true);
  view.setBigUint64(16, BigInt(state.position), true);
  for (let i = 0; i < WORDS; i++) view.setUint32(WORDS_AT + 8 * i, state.words[i] as number, true);
  if (state.cachedNormal !== undefined) {
    view.setFloat64(NORMAL_Y_AT, state.cachedNormal, true);
    view.setInt32(NORMAL_VALID_AT, 1, true);
  }
  return bytes;
}

export function decodeTorchState(bytes: Uint8Array): TorchState {
  if (bytes.length !== SIZE) {
    throw new StableDiffusionError(
      'file-corrupt',
      `A PyTorch CPU generator's state has ${SIZE} bytes, and ${bytes.length} were given.`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const left = view.getInt32(8, true);
  const next = Number(view.getBigUint64(16, true));
  const position = left === 1 ? WORDS : next;
  if (
    view.getInt32(12, true) !== 1 ||
    left < 1 ||
    left > WORDS ||
    next > WORDS ||
    (left !== 1 && next !== WORDS - left + 1)
  ) {
    throw new StableDiffusionError(
      'file-corrupt',
      `The generator's state is not one PyTorch writes (left ${left}, next ${next}).`,
    );
  }
  return {
    seed: view.getBigUint64(0, true),
    words: Uint32Array.from({ length: WORDS }, (_, i) => view.getUint32(WORDS_AT + 8 * i, true)),
    position,
    cachedNormal: view.getInt32(NORMAL_VALID_AT, true) === 0 ? undefined : view.getFloat64(NORMAL_Y_AT, true),
  };
}
