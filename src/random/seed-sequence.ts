/**
 * numpy's SeedSequence (O'Neill 2015, "Developing a seed_seq alternative"; numpy/random/bit_generator.pyx): well mixed 32-bit seeds from an
 * entropy and a spawn key. torchsde seeds every node of a Brownian tree through it.
 */

import { type Seed, seedWords } from './seed.ts';

const INIT_A = 0x43b0d7e5;
const MULT_A = 0x931e8875;
const INIT_B = 0x8b51f9dd;
const MULT_B = 0x58f38ded;
const MIX_LEFT = 0xca01f9dd;
const MIX_RIGHT = 0x4973f715;

/** `SeedSequence(entropy, spawn_key=spawnKey, pool_size=poolSize).generate_state(count)`: `count` 32-bit words. */
export function seedSequence(entropy: Seed, spawnKey: readonly Seed[], poolSize: number, count: number): Uint32Array {
  const words = seedWords(entropy);
  if (spawnKey.length > 0) while (words.length < poolSize) words.push(0);
  for (const key of spawnKey) words.push(...seedWords(key));

  const pool = new Uint32Array(poolSize);
  let constant = INIT_A;
  const hash = (word: number): number => {
    let value = word ^ constant;
    constant = Math.imul(constant, MULT_A);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (x: number, y: number): number => {
    const value = Math.imul(MIX_LEFT, x) - Math.imul(MIX_RIGHT, y);
    return value ^ (value >>> 16);
  };
  for (let i = 0; i < poolSize; i++) pool[i] = hash(words[i] ?? 0);
  for (let from = 0; from < poolSize; from++) {
    for (let to = 0; to < poolSize; to++)
      if (from !== to) pool[to] = mix(pool[to] as number, hash(pool[from] as number));
  }
  for (let from = poolSize; from < words.length; from++) {
    for (let to = 0; to < poolSize; to++) pool[to] = mix(pool[to] as number, hash(words[from] as number));
  }

  const state = new Uint32Array(count);
  let output = INIT_B;
  for (let i = 0; i < count; i++) {
    let value = (pool[i % poolSize] as number) ^ output;
    output = Math.imul(output, MULT_B);
    value = Math.imul(value, output);
    state[i] = value ^ (value >>> 16);
  }
  return state;
}
