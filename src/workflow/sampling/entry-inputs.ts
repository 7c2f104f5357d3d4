/** The network's inputs of one entry of a conditioning: its context, SDXL's vector of pooled text and sizes, and inpainting's channels. */

import { familyOfContext } from '../../checkpoints/model-families.ts';
import { StableDiffusionError } from '../../errors.ts';
import { resizeBilinear } from '../../tensor/resize-bilinear.ts';
import { concatenate } from '../../tensor/arithmetic.ts';
import { scaledLatent } from '../../model/latent-scale.ts';
import { repeatBatch, type NetworkInputs } from '../../tensor/batches.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import type { ConditioningEntry } from '../values/conditioning.ts';
import type { ModelValue } from '../values/model.ts';
import { editedConcat } from './edited-concat.ts';
import type { RunShape } from './run-shape.ts';
import { toBatch } from './to-batch.ts';
import { vectorOf } from './vector-inputs.ts';

type Float32 = Tensor<'float32'>;

/** What an inpainting model takes for "nothing is kept". */
const blankLatent = [0.8223, -0.6876, 0.6364, 0.138] as const;

/** A mask or latent in the size of another. */
export function fitSize(value: Float32, height: number, width: number): Float32 {
  return value.shape[2] === height && value.shape[3] === width ? value : resizeBilinear(value, height, width);
}

/** The channels behind the latent's: a mask and the latent of what is kept. */
function concatOf(model: ModelValue, entry: ConditioningEntry, run: RunShape): Float32 | undefined {
  const { in_channels, out_channels } = model.network.config;
  if (in_channels !== out_channels + 5) return undefined;
  const [batch = 1, , height = 1, width = 1] = run.shape;
  const plane = height * width;
  const mask = entry.concat_mask ?? run.mask;
  if (!mask) {
    const data = new Float32Array(batch * 5 * plane);
    for (let b = 0; b < batch; b++) {
      data.fill(1, b * 5 * plane, (b * 5 + 1) * plane);
      for (const [c, value] of blankLatent.entries())
        data.fill(value, (b * 5 + 1 + c) * plane, (b * 5 + 2 + c) * plane);
    }
    return float32([batch, 5, height, width], data);
  }
  const four = mask.shape.length === 3 ? { ...mask, shape: [mask.shape[0] ?? 1, 1, ...mask.shape.slice(1)] } : mask;
  const sized = fitSize(four, height, width);
  const rounded = toBatch({ ...sized, data: sized.data.map((value) => roundHalfEven(value)) }, batch);
  const kept = entry.concat_latent_image ? scaledLatent(entry.concat_latent_image, model.config) : run.latent;
  return concatenate([rounded, toBatch(fitSize(kept, height, width), batch)], 1);
}

/** Throws `weights-mismatch` for the texts of another family's encoder. */
function refuseOtherTexts({ label, network: { config } }: ModelValue, { cond }: ConditioningEntry): void {
  const [width, wanted] = [cond.shape.at(-1), config.context_dim];
  if (width === wanted || wanted === null || wanted === undefined) return;
  const [family, own] = [familyOfContext(width), familyOfContext(wanted)];
  throw new StableDiffusionError(
    'weights-mismatch',
    `The conditioning is for ${family?.name ?? 'another family of models'} (width ${width}), and ${label} is ${own?.model ?? 'a model of another family'} (width ${wanted}). Encode the prompt with the CLIP of that model.`,
  );
}

/**
 * The inputs of an entry for the whole latent, a batch of 1 or of the run.
 * @throws `weights-mismatch` for texts that an encoder of another family encoded
 */
export async function entryInputs(model: ModelValue, entry: ConditioningEntry, run: RunShape): Promise<NetworkInputs> {
  refuseOtherTexts(model, entry);
  const y = await vectorOf(model, entry, run);
  const concat = concatOf(model, entry, run) ?? editedConcat(model, entry, run);
  return {
    context: repeatBatch(entry.cond, entry.cond.shape[0] ?? 1, 'context'),
    ...(y && { y }),
    ...(concat && { concat }),
  };
}
