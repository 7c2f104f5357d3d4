/** The body network of OpenPose (Cao et al. 2017, "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields"): `body_pose_model.pth`. */

import { concat, maxPool } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture } from './annotator.ts';
import { convRelu } from './layers.ts';

/** The trunk: convolutions of 3x3 by name and width; null halves the image. */
const trunk: readonly (readonly [name: string, channels: number] | null)[] = [
  ['conv1_1', 64],
  ['conv1_2', 64],
  null,
  ['conv2_1', 128],
  ['conv2_2', 128],
  null,
  ['conv3_1', 256],
  ['conv3_2', 256],
  ['conv3_3', 256],
  ['conv3_4', 256],
  null,
  ['conv4_1', 512],
  ['conv4_2', 512],
  ['conv4_3_CPM', 256],
  ['conv4_4_CPM', 128],
];

/** One branch of a stage: L1 makes part affinity fields (38), L2 heat maps (19). The last heat map alone goes through a ReLU, as published. */
function branch(p: Params, x: Sym, stage: number, line: 'L1' | 'L2'): Sym {
  const out = line === 'L1' ? 38 : 19;
  const name = (i: number): string => (stage === 1 ? `conv5_${i}_CPM_${line}` : `Mconv${i}_stage${stage}_${line}`);
  const layers = stage === 1 ? 5 : 7;
  let h = x;
  for (let i = 1; i <= layers - 2; i++) h = convRelu(p.at(name(i)), h, 128, stage === 1 ? 3 : 7);
  // In the first stage the layer before the last is 512 wide; its three 3x3 layers come before it.
  h = convRelu(p.at(name(layers - 1)), h, stage === 1 ? 512 : 128, 1);
  return convRelu(p.at(name(layers)), h, out, 1, stage === 6 && line === 'L2');
}

/** x [1, 3, h, w] about [-0.5, 0.5], BGR, sides multiples of 8 → `paf` [1, 38, h / 8, w / 8], `heat` [1, 19, h / 8, w / 8]. */
function bodyNet(p: Params, x: Sym): Record<string, Sym> {
  let features = x;
  for (const layer of trunk)
    features = layer === null ? maxPool(features, { kernel: 2 }) : convRelu(p.at(layer[0]), features, layer[1], 3);
  let [paf, heat] = [branch(p, features, 1, 'L1'), branch(p, features, 1, 'L2')];
  for (let stage = 2; stage <= 6; stage++) {
    const joined = concat([paf, heat, features], 1);
    [paf, heat] = [branch(p, joined, stage, 'L1'), branch(p, joined, stage, 'L2')];
  }
  return { paf, heat };
}

export const openposeBody: AnnotatorArchitecture = {
  kind: 'openpose_body',
  title: 'OpenPose body',
  file: 'body_pose_model.pth',
  matches: (entries) => entries.has('conv5_5_CPM_L1.weight') && entries.has('Mconv7_stage6_L2.weight'),
  read: (weights) => ({
    kind: 'openpose_body',
    title: 'OpenPose body',
    weights,
    trace: ([height, width]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) =>
        bodyNet(p, need(given, 'x')),
      ),
  }),
};
