/** Networks that act on a UNet from outside, and the UNet with them as extensions, against the originals. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { unetConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { control } from '../../src/extensions/control.ts';
import { reference, referenceNames, sharingSites, type SharingSites } from '../../src/extensions/reference.ts';
import type { Extension } from '../../src/extensions/extension.ts';
import { addDims, type Dim } from '../../src/graph/dim.ts';
import { concat, slice } from '../../src/graph/functions.ts';
import { traceUNet } from '../../src/models/unet.ts';
import { traceTaesdDecode } from '../../src/models/taesd.ts';
import { compareTensor } from '../parity.ts';
import { reference as recorded } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { extensionOutputs } from './recorded-extensions.ts';
import { taesdConfigSchema } from '../../src/config/network-config.ts';
import { randomWeights } from '../model/random-model.ts';
import type { NetworkInputs } from '../../src/tensor/batches.ts';
import { float32, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { NetworkSet } from '../../src/model/network-set.ts';
import { smallUNet } from '../networks.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

interface Row {
  readonly name: string;
  readonly exercises: string;
  readonly reference: string;
  readonly unet_weights?: string;
  readonly outputs: Readonly<Record<string, { readonly atol: number }>>;
}

const index: { readonly cases: readonly Row[] } = JSON.parse(readFileSync(recorded('networks/index.json'), 'utf8'));
const rows = index.cases.filter(({ name }) => ['controlnet', 't2i_adapter', 'ip_adapter'].includes(name));

test('the index has a case of each kind', () => assert.equal(rows.length, 3));

for (const { name, exercises, reference: original, outputs } of rows) {
  test(`${name}: ${exercises}`, async () => {
    const folder = recorded(`networks/${name}`);
    const got = await extensionOutputs(folder, recorded('networks/unet_sd'), Object.keys(outputs), engine);
    const want = readTensors(join(folder, 'outputs.safetensors'));
    for (const [output, { atol }] of Object.entries(outputs))
      compareTensor(
        { part: 'networks', case: name, output, reference: original, tolerance: atol },
        pick(got, output),
        pick(want, output),
      );
  });
}

const unet = smallUNet();

/** Pads the width by its other edge, so that the right edge of the output fits its left edge. */
const wrapped: Extension = {
  name: 'wrapped',
  inputs: () => ({}),
  hooks: () => ({
    padding: (x, [top, left, bottom, right]) => {
      const width = x.shape[3] as Dim;
      const wide = concat([slice(x, 3, addDims(width, -left), width), x, slice(x, 3, 0, right)], 3);
      const edge = slice(wide, 2, 0, 1);
      return concat(
        [...Array.from({ length: top }, () => edge), wide, ...Array.from({ length: bottom }, () => edge)],
        2,
      );
    },
  }),
};

test('a padding of the extension takes the place of zeros in every convolution', async () => {
  const weights = randomWeights(unet);
  await using set = new NetworkSet({
    label: 'wrapped',
    engine,
    networks: new Map([
      ['plain', { config: unet, weights }],
      ['wrapped', { config: unet, weights, extensions: [wrapped] }],
    ]),
  });
  const values = Float32Array.from({ length: 4 * 8 * 8 }, (_, i) => Math.sin(i));
  const rolled = values.map((_, i) => values[i - (i % 8) + ((i + 2) % 8)] as number);
  const run = async (network: string, data: Float32Array): Promise<Tensor> => {
    const { out } = await set.run(
      { network, outputs: ['out'] },
      { x: float32([1, 4, 8, 8], data), timesteps: float32([1], [5]) },
    );
    return out as Tensor;
  };
  const roll = (data: ArrayLike<number>): number[] =>
    Array.from(data, (_, i) => data[i - (i % 8) + ((i + 2) % 8)] as number);
  const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
    Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));
  const out = (await run('wrapped', values)).data as Float32Array;
  // A network that wraps commutes with rolling the picture along its width (by a whole number of its coarsest pixels).
  assert.ok(difference((await run('wrapped', rolled)).data as Float32Array, roll(out)) < 1e-4);
  assert.ok(difference((await run('plain', values)).data as Float32Array, out) > 1e-3);
});

test('a block can be wrapped whole', () => {
  const seen: string[] = [];
  const watching: Extension = {
    name: 'watching',
    inputs: () => ({}),
    hooks: () => ({
      block: (path, run) => {
        seen.push(path);
        return run();
      },
    }),
  };
  traceUNet(unet, { extensions: [watching] });
  assert.deepEqual(seen, [
    'input_blocks.0',
    'input_blocks.1',
    'input_blocks.2',
    'input_blocks.3',
    'middle_block',
    'output_blocks.0',
    'output_blocks.1',
    'output_blocks.2',
    'output_blocks.3',
  ]);
});

test('a network that looks at its own picture says what it says without looking; at another picture, something else', async () => {
  const config = unetConfigSchema.parse({
    ...unet,
    channel_mult: [1, 2],
    use_spatial_transformer: true,
    context_dim: 8,
  });
  const sites = sharingSites(config);
  assert.deepEqual(
    sites.attentions.map(({ threshold }) => threshold),
    [0.25, 0, 0.5, 0.75],
  );
  assert.deepEqual(
    sites.blocks.map(({ name, threshold }) => [name, threshold]),
    [
      ['middle_block', 0],
      ['input_blocks.3', 2],
      ['output_blocks.0', 0],
    ],
  );
  await using set = new NetworkSet({
    label: 'reference',
    engine,
    networks: new Map([['unet', { config, weights: randomWeights(config), extensions: [reference(sites)] }]]),
  });
  const tensorOf = (shape: readonly number[], step: number): Tensor<'float32'> =>
    float32(
      shape,
      Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(step * i)),
    );
  const call = { timesteps: float32([1], [5]), context: tensorOf([1, 3, 8], 0.3) };
  const empty = extensionInputsOf(sites);
  const names = Object.keys(empty).filter((name) => name !== referenceNames.share);
  const [own, other] = [tensorOf([1, 4, 8, 8], 1), tensorOf([1, 4, 8, 8], 0.7)];
  const look = async (x: Tensor): Promise<NetworkInputs> => {
    const made = await set.run(
      { network: 'unet', outputs: names.map(referenceNames.output) },
      { ...call, ...empty, x },
    );
    return Object.fromEntries(names.map((name) => [name, made[referenceNames.output(name)] as Tensor]));
  };
  const predict = async (seen: NetworkInputs, share: number): Promise<Float32Array> => {
    const count = sites.attentions.length + sites.blocks.length;
    const shares = { [referenceNames.share]: float32([1, count], new Float32Array(count).fill(share)) };
    const { out } = await set.run(
      { network: 'unet', outputs: ['out'] },
      { ...call, ...empty, ...seen, ...shares, x: own },
    );
    return (out as Tensor<'float32'>).data;
  };
  const plain = await predict({}, 0);
  const far = (values: Float32Array): number =>
    Math.max(...values.map((value, i) => Math.abs(value - (plain[i] as number))));
  assert.ok(far(await predict(await look(own), 1)) < 1e-4);
  assert.ok(far(await predict(await look(other), 1)) > 1e-2);
  assert.equal(far(await predict(await look(other), 0)), 0);
});

/** Inputs of a network that has looked at nothing. */
function extensionInputsOf({ attentions, blocks }: SharingSites): NetworkInputs {
  return Object.fromEntries([
    ...attentions.map(({ name, channels }) => [referenceNames.tokens(name), zeros('float32', [1, 1, channels])]),
    ...blocks.flatMap(({ name, channels }) =>
      [referenceNames.mean(name), referenceNames.variance(name)].map((input) => [
        input,
        zeros('float32', [1, channels]),
      ]),
    ),
    [referenceNames.share, zeros('float32', [1, attentions.length + blocks.length])],
  ]);
}

test('two extensions with one input, and a network that takes none, are refused', () => {
  assert.throws(() => traceUNet(unet, { extensions: [control, control] }), {
    code: 'invalid-argument',
    message: /declare the input control\.0/,
  });
  const taesd = taesdConfigSchema.parse({ kind: 'taesd' });
  assert.throws(() => traceTaesdDecode(taesd, { extensions: [control] }), { code: 'invalid-argument' });
});
