/** LoRA files of SD 2.x and SDXL, merged into the model: the UNet's output and the states of the text encoders. */

import { join } from 'node:path';
import * as z from 'zod';
import { openLora } from '../../../src/adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../../../src/adapters/lora/with-lora.ts';
import { Model } from '../../../src/model/model.ts';
import { takeBatch } from '../../../src/tensor/batches.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { familyModel } from '../../families/tiny-models.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Reader } from '../reader.ts';

const rowSchema = z.looseObject({
  dir: z.string(),
  files: z.array(z.string()).min(1),
  settings: z.looseObject({
    scale: z.number(),
    model: z.enum(['sd2', 'sdxl']),
    inputs: z.looseObject({ unet: z.string() }),
  }),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional() })),
});

export const reader: Reader = {
  set: 'families',
  reads: (row, part) => part === 'lora' && rowSchema.safeParse(row).success,
  compare: collecting(async ({ row: raw, setFolder: folder }, compare) => {
    const { dir, files, settings, outputs } = rowSchema.parse(raw);
    const isXl = settings.model === 'sdxl';
    await using plain = await familyModel(
      folder,
      isXl ? 'models/sdxl/sdxl.yaml' : 'models/sd2/sd2-v.yaml',
      parityEngine(),
    );
    const uses = files.map((file) => ({
      lora: openLora(memoryWeights(readTensors(join(folder, file)), file)),
      scale: settings.scale,
    }));
    const checkpoint = checkpointWithLora(plain.checkpoint, uses);
    await using model = new Model({ engine: parityEngine(), checkpoint, ownsCheckpoint: false });
    const given = readTensors(join(folder, settings.inputs.unet));
    const inputs = Object.fromEntries([...given].map(([name, value]) => [name, toFloat32(value)]));
    const got = new Map<string, Tensor>();
    const { x, timesteps, context, y } = inputs;
    const { out } = await model.networks.run(
      { network: 'unet', outputs: ['out'] },
      { x: x as Tensor, timesteps: timesteps as Tensor, context: context as Tensor, ...(y && { y }) },
    );
    got.set('unet.out', out as Tensor);
    const ids = readTensors(join(folder, 'conditioners', isXl ? 'sgm' : 'sd2_text', 'outputs.safetensors'));
    const first = (name: string): Tensor => takeBatch(pick(ids, name), 0, 1);
    const encode = async (network: string, input: Tensor, names: readonly string[]): Promise<void> => {
      const config = model.networkConfig(network);
      const layers = config?.kind === 'clip_text' ? config.num_hidden_layers : 0;
      const wanted = new Map([
        ['clip_l.penultimate', `hidden_states.${layers - 1}`],
        ['clip_g.penultimate', `hidden_states.${layers - 1}`],
        ['clip_g.pooled', 'text_embeds'],
        ['text.last', `final_norm.${layers - 1}`],
      ]);
      const results = await model.networks.run(
        { network, outputs: names.map((name) => wanted.get(name) ?? '') },
        { input_ids: input },
      );
      for (const name of names) got.set(name, results[wanted.get(name) ?? ''] as Tensor);
    };
    if (isXl) {
      await encode('cond_stage', first('ids_clip_l.cond'), ['clip_l.penultimate']);
      await encode('cond_stage_2', first('ids_clip_g.cond'), ['clip_g.penultimate', 'clip_g.pooled']);
    } else await encode('cond_stage', first('ids'), ['text.last']);
    const want = readTensors(join(folder, dir, 'outputs.safetensors'));
    for (const [output, { atol = 0 }] of Object.entries(outputs))
      compare.tensor(output, got.get(output), pick(want, output), atol);
  }),
};
