/** LAION's aesthetic heads: normalised features, layers and scores. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aestheticHead, normalisedRows } from '../../../src/evaluation/aesthetic.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { lineageReader } from '../lineage-reader.ts';

export const reader = lineageReader([
  [
    /^LAION aesthetic heads/,
    async function* (recorded) {
      const features = recorded.input('features');
      yield recorded.compare('normalized', normalisedRows(features));
      const second = await aestheticHead(recorded.weights('v2', 'v2.safetensors'));
      for (const [i, value] of second.layers(features).entries()) yield recorded.compare(`v2.layer${i}`, value);
      const scores = (values: Float32Array): Tensor => float32([values.length], values);
      yield recorded.compare('v2.score', scores(second.score(features)));
      for (const [name, file] of [
        ['l14', 'v1_l14'],
        ['b32', 'v1_b32'],
      ] as const) {
        if (!existsSync(join(recorded.folder, `${file}.safetensors`))) continue;
        const first = await aestheticHead(recorded.weights(file, `${file}.safetensors`));
        const own = name === 'b32' ? recorded.input('features_512') : features;
        yield recorded.compare(`v1.${name}.score`, scores(first.score(own)));
      }
    },
  ],
]);
