/**
 * The reference modes at work (`extensions/reference.ts`): before each call the network runs on the reference pictures, as noisy as the picture
 * that it denoises, and what it hands out goes into the call. After `hook.py` of sd-webui-controlnet.
 */

import { referenceNames, type SharingSite, type SharingSites } from '../../extensions/reference.ts';
import { addScaled, concatenate, linearCombination, scale } from '../../tensor/arithmetic.ts';
import type { NetworkInputs } from '../../tensor/batches.ts';
import { expectDType, float32, type Tensor, zeros } from '../../tensor/tensor.ts';
import type { Latent } from '../denoiser.ts';
import { type ControlUnit, forBatch, type LookingCall } from './control-unit.ts';
import type { ControlWindow } from './control-window.ts';
import { type ReferenceMode, sharedBy } from './reference-modes.ts';

export interface ReferencePicture {
  /** Scaled latent of the picture, float32 [1, channels, h, w]. */
  readonly latent: Latent;
  readonly mode: ReferenceMode;
  /** Sites below this threshold share. */
  readonly weight: number;
  /** 0 to 1: how far the negative prompt's half is left alone. */
  readonly fidelity: number;
  readonly window: ControlWindow;
}

/** The sites of a UNet that some of the pictures use. */
export function usedSites(sites: SharingSites, pictures: readonly ReferencePicture[]): SharingSites {
  const used = (all: readonly SharingSite[], what: 'attention' | 'statistics'): SharingSite[] =>
    all.filter(({ threshold }) => pictures.some(({ mode, weight }) => sharedBy(mode)[what] && weight > threshold));
  return { attentions: used(sites.attentions, 'attention'), blocks: used(sites.blocks, 'statistics') };
}

/** What pictures left at the sites of one kind, until the network reads it. */
interface Bank {
  readonly sites: readonly SharingSite[];
  /** By site: one record for each picture. */
  readonly kept: Map<string, { readonly fidelity: number; readonly made: NetworkInputs }[]>;
}

const bankOf = (sites: readonly SharingSite[]): Bank => ({ sites, kept: new Map() });

/** How strongly each row takes at a site: the negative prompt's half less, by the mean fidelity. */
function sharesAt({ kept }: Bank, site: SharingSite, isConditional: readonly boolean[]): number[] {
  const all = kept.get(site.name) ?? [];
  if (all.length === 0) return isConditional.map(() => 0);
  const fidelity = all.reduce((sum, one) => sum + one.fidelity, 0) / all.length;
  return isConditional.map((mark) => (mark || fidelity <= 1e-5 ? 1 : 1 - fidelity));
}

function kept(bank: Bank, { name }: SharingSite, input: string): Tensor<'float32'>[] {
  const output = referenceNames.output(input);
  return (bank.kept.get(name) ?? []).map(({ made }) => expectDType(made[output] as Tensor, 'float32', output));
}

/** The inputs of the network for two banks; a bank that is not read counts as empty. */
function inputsOf(
  attention: Bank,
  statistics: Bank,
  { isConditional }: Pick<LookingCall, 'isConditional'>,
): NetworkInputs {
  const count = isConditional.length;
  const inputs: Record<string, Tensor> = {};
  for (const site of attention.sites) {
    const name = referenceNames.tokens(site.name);
    const [first, ...rest] = kept(attention, site, name);
    inputs[name] = first ? concatenate([first, ...rest], 1) : zeros('float32', [count, 1, site.channels]);
  }
  for (const site of statistics.sites)
    for (const name of [referenceNames.mean(site.name), referenceNames.variance(site.name)]) {
      const [first, ...rest] = kept(statistics, site, name);
      if (first)
        inputs[name] = scale(
          rest.reduce((sum, one) => addScaled(sum, 1, one), first),
          1 / (1 + rest.length),
        );
    }
  const columns = [attention, statistics].flatMap((bank) =>
    bank.sites.map((site) => sharesAt(bank, site, isConditional)),
  );
  inputs[referenceNames.share] = float32(
    [count, columns.length],
    isConditional.flatMap((_, row) => columns.map((column) => column[row] as number)),
  );
  return inputs;
}

function lastChannels(x: Latent, count: number): Latent {
  const [n = 1, channels = 1, height = 1, width = 1] = x.shape;
  const size = height * width;
  const data = new Float32Array(n * count * size);
  for (let i = 0; i < n; i++)
    data.set(x.data.subarray((i * channels + channels - count) * size, (i + 1) * channels * size), i * count * size);
  return float32([n, count, height, width], data);
}

/** The reference picture as noisy as the call says, with the channels of an inpainting model: nothing is masked, the picture is known. */
function noisyPicture({ latent }: ReferencePicture, { inputs, schedule, noise }: LookingCall): Latent {
  const { x, timesteps } = inputs;
  const [count = 1, channels = 1, height = 1, width = 1] = x.shape;
  const clean = forBatch(latent, count, 'the reference picture');
  const alphaBar = schedule.alphaBarAt(Math.round(timesteps.data[0] ?? 0));
  const noisy = linearCombination([Math.sqrt(alphaBar), clean], [Math.sqrt(1 - alphaBar), noise(clean.shape)]);
  const own = clean.shape[1] ?? channels;
  if (channels === own) return noisy;
  if (channels === 2 * own + 1) return concatenate([noisy, zeros('float32', [count, 1, height, width]), clean], 1);
  return concatenate([noisy, lastChannels(x, channels - own)], 1);
}

/** Runs the network on one picture and keeps what it hands out. A bank that the picture does not fill is read, and so emptied. */
async function look(
  picture: ReferencePicture,
  banks: { readonly attention: Bank; readonly statistics: Bank },
  call: LookingCall,
): Promise<void> {
  const shares = sharedBy(picture.mode);
  const read = (what: 'attention' | 'statistics'): Bank => (shares[what] ? bankOf(banks[what].sites) : banks[what]);
  const writing = (what: 'attention' | 'statistics'): readonly SharingSite[] =>
    shares[what] ? banks[what].sites.filter(({ threshold }) => picture.weight > threshold) : [];
  const [attentions, blocks] = [writing('attention'), writing('statistics')];
  const outputs = [
    ...attentions.map(({ name }) => referenceNames.tokens(name)),
    ...blocks.flatMap(({ name }) => [referenceNames.mean(name), referenceNames.variance(name)]),
  ].map(referenceNames.output);
  const inputs = { x: noisyPicture(picture, call), ...inputsOf(read('attention'), read('statistics'), call) };
  const made = outputs.length === 0 ? {} : await call.observe(inputs, outputs);
  for (const what of ['attention', 'statistics'] as const) if (!shares[what]) banks[what].kept.clear();
  const keep = (bank: Bank, sites: readonly SharingSite[]): void => {
    for (const { name } of sites)
      bank.kept.set(name, [...(bank.kept.get(name) ?? []), { fidelity: picture.fidelity, made }]);
  };
  keep(banks.attention, attentions);
  keep(banks.statistics, blocks);
}

/** All reference pictures of a run: `sites` are those that the network was extended at. */
export function referenceUnit(
  pictures: readonly ReferencePicture[],
  { attentions, blocks }: SharingSites,
): ControlUnit {
  return {
    window: { start: 0, end: 1 },
    async look(call) {
      const banks = { attention: bankOf(attentions), statistics: bankOf(blocks) };
      for (const picture of pictures) if (call.isOpen(picture.window)) await look(picture, banks, call);
      return inputsOf(banks.attention, banks.statistics, call);
    },
  };
}
