/** DreamBooth's prior preservation against PyTorch. */

import { gradients } from '../../../src/graph/gradients.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { traceAdapterLoss, unetPrefix } from '../../../src/training/adapt/adapter-loss.ts';
import { withPrefix } from '../../../src/weights/view.ts';
import { adapterReader, diffusion, inUNet, unetOf } from '../adapter-case.ts';
import { parityEngine } from '../engine.ts';
import { compareOutputs } from '../training-case.ts';

const instanceRows = (batch: number): Tensor =>
  float32(
    [batch],
    Array.from({ length: batch }, (_, i) => (i < batch / 2 ? 1 : 0)),
  );

/** The loss of instance and class rows. */
export const reader = adapterReader(/^prior preservation/, async (one, compare, recorded) => {
  const { unet, unetWeights } = unetOf(recorded, one);
  const graph = traceAdapterLoss({ unet, diffusion, priorWeight: Number(one.settings['prior_loss_weight']) });
  const names = { 'conv_in.weight': inUNet('input_blocks.0.0.weight'), 'conv_out.weight': inUNet('out.2.weight') };
  const program = await parityEngine().compile(
    gradients(graph, 'loss', Object.values(names)),
    withPrefix(unetWeights, `${unetPrefix}.`),
  );
  const inputs = Object.fromEntries(['x0', 'noise', 't', 'context'].map((name) => [name, one.input(name)]));
  const got = await program.run({ ...inputs, instance: instanceRows(inputs['x0']?.shape[0] ?? 0) });
  compareOutputs(one, compare, (name) => {
    if (name === 'model_out') return got['prediction'];
    return name.startsWith('grad.') ? got[`grad.${names[name.slice(5) as keyof typeof names]}`] : got[name];
  });
});
