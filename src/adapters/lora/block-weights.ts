/**
 * Block weights of LoRAs: a factor for each block of the network that a file changes (hako-mikan/sd-webui-lora-block-weight, `<lora:name:te:unet:lbw=…>`).
 *
 * 26 numbers are the text encoder's, twelve input blocks', the middle's and twelve output blocks'; 17 leave out the blocks without attention, which get 0.
 */

import { StableDiffusionError } from '../../errors.ts';

const numbered = (name: string): string[] =>
  Array.from({ length: 12 }, (_, i) => `${name}${String(i).padStart(2, '0')}`);

export const loraBlocks: readonly string[] = ['BASE', ...numbered('IN'), 'M00', ...numbered('OUT')];
const withoutAttention = new Set(['IN00', 'IN03', 'IN06', 'IN09', 'IN10', 'IN11', 'OUT00', 'OUT01', 'OUT02']);
export const loraBlocksWithAttention: readonly string[] = loraBlocks.filter((block) => !withoutAttention.has(block));

/** A preset of the original: 1 for these of the 17 blocks, else 0. */
const preset = (from: number, to: number, base = 1): readonly number[] =>
  loraBlocksWithAttention.map((_, i) => (i === 0 ? base : i >= from && i < to ? 1 : 0));

export const loraBlockPresets: Readonly<Record<string, readonly number[]>> = {
  NONE: preset(0, 0, 0),
  ALL: preset(1, 17),
  INS: preset(1, 4),
  IND: preset(4, 7),
  INALL: preset(1, 7),
  MIDD: preset(4, 12),
  OUTD: preset(8, 12),
  OUTS: preset(12, 17),
  OUTALL: preset(8, 17),
  'ALL0.5': loraBlocksWithAttention.map(() => 0.5),
};

/** An exception: a factor for the modules that lie in blocks and whose names hold words. */
interface Exception {
  readonly blocks: readonly string[];
  readonly notBlocks: boolean;
  readonly words: readonly string[];
  readonly notWords: boolean;
  readonly factor: number;
}

export interface LoraBlockWeights {
  /** 26 factors, in the order of `loraBlocks`. */
  readonly factors: readonly number[];
  readonly exceptions: readonly Exception[];
}

function refuse(text: string, expected: string): never {
  throw new StableDiffusionError(
    'invalid-argument',
    `The block weights ${JSON.stringify(text.slice(0, 200))} are not ${expected}.`,
  );
}

/** `IN05-OUT05` as the blocks between. */
function blocksBetween(word: string): readonly string[] {
  const [from = '', to] = word.split('-');
  const [first, last] = [loraBlocks.indexOf(from), loraBlocks.indexOf(to ?? from)];
  return to === undefined || first < 0 || last < first ? [word] : loraBlocks.slice(first, last + 1);
}

function readExceptions(text: string): Exception[] {
  return text
    .split(/[,\n]/)
    .filter((one) => one.trim() !== '')
    .map((one) => {
      const [blocks = '', words = '', factor, ...more] = one.split(':');
      const value = Number(factor);
      if (factor === undefined || factor.trim() === '' || more.length > 0 || !Number.isFinite(value))
        refuse(one, 'BLOCKS:WORDS:FACTOR');
      const listOf = (given: string): { readonly not: boolean; readonly list: string[] } => {
        const [first, ...rest] = given.trim().split(' ');
        return first === 'NOT' ? { not: true, list: rest } : { not: false, list: given.trim().split(' ') };
      };
      const [where, which] = [listOf(blocks), listOf(words)];
      return {
        blocks: where.list.flatMap(blocksBetween),
        notBlocks: where.not,
        words: which.list,
        notWords: which.not,
        factor: value,
      };
    });
}

/**
 * A preset's name, or 17 or 26 numbers with commas; and exceptions `BLOCKS:WORDS:FACTOR` with commas, where `A-B` is a range and `NOT` before a list
 * inverts it. Throws `invalid-argument`.
 */
export function parseBlockWeights(weights: string, exceptions = ''): LoraBlockWeights {
  if (weights.length > 2000 || exceptions.length > 10_000) refuse(weights, 'at most 2,000 characters long');
  const named = loraBlockPresets[weights.trim()];
  const numbers = named ?? weights.split(',').map((one) => (one.trim() === '' ? Number.NaN : Number(one)));
  if (!numbers.every(Number.isFinite) || (numbers.length !== 17 && numbers.length !== 26))
    refuse(weights, `17 or 26 numbers, or one of ${Object.keys(loraBlockPresets).join(', ')}`);
  const factors =
    numbers.length === 26 ? numbers : loraBlocks.map((block) => numbers[loraBlocksWithAttention.indexOf(block)] ?? 0);
  return { factors, exceptions: readExceptions(exceptions) };
}

/** `WEIGHTS` or `WEIGHTS;EXCEPTIONS`. Throws as `parseBlockWeights`. */
export function readBlockWeights(text: string): LoraBlockWeights {
  const [weights = '', exceptions = ''] = text.split(';', 2);
  return parseBlockWeights(weights, exceptions);
}

/** A1111's name of a module: of the UNet by its tensor's canonical name, else the text encoder's by its own. */
export function blockModuleName(network: 'unet' | 'text', name: string): string {
  const bare = name.replace(/\.(?:weight|bias)$/, '').replaceAll('.', '_');
  return network === 'unet'
    ? `diffusion_model_${bare}`
    : `transformer_${bare.startsWith('text_model_') ? '' : 'text_model_'}${bare}`;
}

/** The block of a module by that name: `BASE` for the text encoder's; none for the UNet's time embedding and last layers. */
export function loraBlockOf(module: string): string | undefined {
  const [, part, number] = /^diffusion_model_(input|output)_blocks_(\d{1,2})_/.exec(module) ?? [];
  if (part !== undefined) return `${part === 'input' ? 'IN' : 'OUT'}${(number ?? '').padStart(2, '0')}`;
  if (module.startsWith('diffusion_model_middle_block_')) return 'M00';
  return module.startsWith('diffusion_model_') ? undefined : 'BASE';
}

/** The factor of a module's change; 1 for a module of no block. */
export function blockFactor({ factors, exceptions }: LoraBlockWeights, module: string): number {
  const block = loraBlockOf(module);
  if (block === undefined) return 1;
  const text = module + block;
  const applies = (list: readonly string[], not: boolean): boolean => list.some((word) => text.includes(word)) !== not;
  const own = factors[loraBlocks.indexOf(block)] ?? 1;
  const last = exceptions.findLast(
    ({ blocks, notBlocks, words, notWords }) => applies(blocks, notBlocks) && applies(words, notWords),
  );
  return last?.factor ?? own;
}
