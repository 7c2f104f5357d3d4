/** The readers of what lies around models that are fuzzed: hypernetworks, styles, configurations of folders, pages' workflows. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readHypernetwork } from '../../src/adapters/hypernetwork.ts';
import { schedulerParams } from '../../src/config/diffusers-scheduler.ts';
import { huggingFaceNetwork } from '../../src/config/hugging-face-network.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { parseStyles } from '../../src/server/styles.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import { parseWorkflow } from '../../src/workflow/page/page-to-api.ts';
import type { FuzzTarget } from './targets.ts';

const root = join(import.meta.dirname, '../..');
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Configurations of networks, of the IF stages too, as their folders have them. */
function configurations(): Uint8Array[] {
  const folder = join(root, 'fixtures/networks');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /config\.json$/.test(name))
    .map((name) => new Uint8Array(readFileSync(join(folder, name))));
}

/** Two modules of two layers each, all zero, in safetensors. */
function hypernetwork(): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { activation_func: 'relu', is_layer_norm: 'False' } };
  let at = 0;
  for (const half of [0, 1])
    for (const [name, ...shape] of [
      ['0.weight', 8, 4],
      ['0.bias', 8],
      ['1.weight', 4, 8],
    ] as const) {
      const bytes = 4 * shape.reduce((product, side) => product * side, 1);
      header[`4/${half}/linear.${name}`] = { dtype: 'F32', shape, data_offsets: [at, at + bytes] };
      at += bytes;
    }
  const text = encode(JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, text.length, true);
  return new Uint8Array(Buffer.concat([length, text, Buffer.alloc(at)]));
}

const ifUNet =
  '{"_class_name":"UNet2DConditionModel","addition_embed_type":"text","act_fn":"gelu","block_out_channels":[32,64],"cross_attention_dim":32,"encoder_hid_dim":32,"in_channels":3,"out_channels":6,"layers_per_block":1,"attention_head_dim":8,"down_block_types":["ResnetDownsampleBlock2D","SimpleCrossAttnDownBlock2D"],"up_block_types":["SimpleCrossAttnUpBlock2D","ResnetUpsampleBlock2D"],"resnet_time_scale_shift":"scale_shift","class_embed_type":"timestep","sample_size":64}';
const scheduler =
  '{"_class_name":"DDPMScheduler","beta_start":0.0001,"beta_end":0.02,"beta_schedule":"squaredcos_cap_v2","num_train_timesteps":1000,"prediction_type":"epsilon","variance_type":"learned_range","trained_betas":[0.1,0.2],"rescale_betas_zero_snr":true}';
const page =
  '{"last_node_id":3,"last_link_id":2,"nodes":[{"id":1,"type":"EmptyImage","mode":0,"inputs":[],"outputs":[{"name":"IMAGE","type":"IMAGE","links":[1]}],"widgets_values":[64,64,1,0]},{"id":2,"type":"Reroute","mode":4,"inputs":[{"name":"","type":"*","link":1}],"outputs":[{"name":"","type":"IMAGE","links":[2]}]},{"id":3,"type":"PreviewImage","mode":0,"inputs":[{"name":"images","type":"IMAGE","link":2}],"outputs":[]}],"links":[[1,1,0,2,0,"IMAGE"],[2,2,0,3,0,"IMAGE"]],"groups":[],"definitions":{"subgraphs":[{"id":"a","nodes":[],"links":[],"inputs":[],"outputs":[]}]},"extra":{"groupNodes":{}},"version":0.4}';

/** A value of JSON, or undefined: that it is none is for others to say. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decode(bytes)) as unknown;
  } catch {
    return undefined;
  }
}

export const settingTargets: Readonly<Record<string, FuzzTarget>> = {
  hypernetwork: {
    async run(bytes) {
      const source = await openWeights(memoryBytes(bytes, 'x.safetensors'));
      readHypernetwork(source);
    },
    corpus: () => [hypernetwork()],
  },
  styles: {
    run: (bytes) => parseStyles(decode(bytes)),
    corpus: () => [encode('name,prompt,negative_prompt\r\na,"x, {prompt}, ""y""\n z",blurry\r\nb,,\r\n')],
  },
  'folder-config': {
    run(bytes) {
      const value = parsed(bytes);
      if (value !== undefined) huggingFaceNetwork(value, 'config.json');
    },
    corpus: () => [encode(ifUNet), ...configurations()],
  },
  scheduler: {
    run(bytes) {
      const value = parsed(bytes);
      if (value !== undefined) schedulerParams(value, 'scheduler_config.json');
    },
    corpus: () => [encode(scheduler)],
  },
  page: { run: (bytes) => parseWorkflow(decode(bytes), { nodes }), corpus: () => [encode(page)] },
};
